//! What the editor on the other side can do, read from `initialize` as it came: it says more than the types know.

use serde_json::Value;

/// How characters of a line are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// Bytes.
    Utf8,
    /// The protocol's own way, which every editor has.
    #[default]
    Utf16,
    /// Code points.
    Utf32,
}

impl Encoding {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Utf8 => "utf-8",
            Encoding::Utf16 => "utf-16",
            Encoding::Utf32 => "utf-32",
        }
    }
}

/// What an editor declared. All false is a client that declares nothing, and it is served as well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Can {
    /// `$/progress` of our own.
    pub progress: bool,
    /// Code actions as objects rather than commands.
    pub action_literals: bool,
    /// Code lenses may be asked for again.
    pub lens_refresh: bool,
    /// `workspace/applyEdit`.
    pub apply_edit: bool,
    /// Edits that name the version of the buffer they are for.
    pub versioned_edits: bool,
    /// Files may be made within an edit.
    pub create_files: bool,
    /// Files may be deleted within an edit.
    pub delete_files: bool,
    /// Edits may carry labelled changes.
    pub annotations: bool,
    /// Documents may be shown on our word.
    pub show_document: bool,
    /// Read-only documents come from us, registered at run time.
    pub served_documents: bool,
    /// Positions, as we answered that they are counted.
    pub encoding: Encoding,
    /// The editor's own side asks for words (`initializationOptions.inputBox`).
    pub input_box: bool,
    /// A question leaves the screen by itself and its answer may never come (`initializationOptions.toasts`).
    pub toasts: bool,
}

impl Can {
    /// Reads the parameters of `initialize`.
    pub fn of(initialize: &Value) -> Can {
        let at = |path: &str| initialize.pointer(path);
        let yes = |path: &str| at(path).and_then(Value::as_bool).unwrap_or(false);
        let holds = |path: &str, word: &str| {
            at(path).and_then(Value::as_array).is_some_and(|words| words.iter().any(|found| found == word))
        };
        let edits = "/capabilities/workspace/workspaceEdit";
        let encodings = "/capabilities/general/positionEncodings";
        let encoding = [Encoding::Utf16, Encoding::Utf8, Encoding::Utf32]
            .into_iter()
            .find(|encoding| holds(encodings, encoding.name()))
            .unwrap_or_default();
        Can {
            progress: yes("/capabilities/window/workDoneProgress"),
            action_literals: at("/capabilities/textDocument/codeAction/codeActionLiteralSupport").is_some(),
            lens_refresh: yes("/capabilities/workspace/codeLens/refreshSupport"),
            apply_edit: yes("/capabilities/workspace/applyEdit"),
            // Neovim takes them and only says so by the operations, which come in no other form.
            versioned_edits: yes(&format!("{edits}/documentChanges"))
                || at(&format!("{edits}/resourceOperations")).is_some(),
            create_files: holds(&format!("{edits}/resourceOperations"), "create"),
            delete_files: holds(&format!("{edits}/resourceOperations"), "delete"),
            annotations: at(&format!("{edits}/changeAnnotationSupport")).is_some(),
            show_document: yes("/capabilities/window/showDocument/support"),
            served_documents: yes("/capabilities/workspace/textDocumentContent/dynamicRegistration"),
            encoding,
            input_box: yes("/initializationOptions/inputBox"),
            toasts: yes("/initializationOptions/toasts"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_editor_that_declares_nothing_can_nothing() {
        assert_eq!(Can::of(&json!({"capabilities": {}})), Can::default());
        assert_eq!(Can::of(&json!({"capabilities": {"window": 7, "workspace": []}})), Can::default());
    }

    #[test]
    fn operations_on_files_come_in_versioned_edits_only() {
        let edits = |edits| Can::of(&json!({"capabilities": {"workspace": {"workspaceEdit": edits}}})).versioned_edits;
        assert!(edits(json!({"resourceOperations": ["create"]})) && edits(json!({"documentChanges": true})));
        assert!(!edits(json!({"documentChanges": false})));
    }

    #[test]
    fn what_is_declared_is_found() {
        let can = Can::of(&json!({"initializationOptions": {"inputBox": true, "toasts": true}, "capabilities": {
            "general": {"positionEncodings": ["utf-32", "utf-8"]},
            "window": {"workDoneProgress": true, "showDocument": {"support": true}},
            "workspace": {"applyEdit": true, "codeLens": {"refreshSupport": true},
                "textDocumentContent": {"dynamicRegistration": true},
                "workspaceEdit": {"documentChanges": true, "resourceOperations": ["create", "rename"],
                    "changeAnnotationSupport": {}}},
            "textDocument": {"codeAction": {"codeActionLiteralSupport": {}}}}}));
        let all = Can {
            progress: true,
            action_literals: true,
            lens_refresh: true,
            apply_edit: true,
            versioned_edits: true,
            create_files: true,
            delete_files: false,
            annotations: true,
            show_document: true,
            served_documents: true,
            encoding: Encoding::Utf8,
            input_box: true,
            toasts: true,
        };
        assert_eq!(can, all);
    }
}
