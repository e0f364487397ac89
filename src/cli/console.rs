//! Where output goes: standard output and error, in the form that was asked for. Nothing here panics on a closed pipe.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::{
    args::{ColorWhen, Global},
    render::paint::Paint,
};

/// Standard output and error, and what is known about them.
pub struct Console {
    /// Results.
    pub out: Box<dyn Write + Send>,
    /// Notes and errors.
    pub err: Box<dyn Write + Send>,
    /// Print wire objects instead of text.
    pub json: bool,
    /// Colours for results.
    pub paint: Paint,
    /// Results go to a terminal.
    pub out_is_terminal: bool,
    /// Somebody can be asked: input and both outputs are a terminal, and text was asked for.
    pub interactive: bool,
    /// Columns of the terminal; 100 where there is none.
    pub width: usize,
}

impl Console {
    /// The process's own.
    pub fn of_process(global: &Global) -> Console {
        let out_is_terminal = io::stdout().is_terminal();
        let interactive = out_is_terminal && io::stderr().is_terminal() && io::stdin().is_terminal() && !global.json;
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colour = match global.color {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            ColorWhen::Auto => out_is_terminal && !no_color && !dumb,
        };
        Console {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            json: global.json,
            paint: Paint { on: colour && !global.json },
            out_is_terminal,
            interactive,
            width: terminal_width().unwrap_or(100),
        }
    }

    /// One line of results.
    pub fn line(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        self.out.write_all(text.as_ref().as_bytes())?;
        self.out.write_all(b"\n")
    }

    /// Results that bring their own line ends.
    pub fn text(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        self.out.write_all(text.as_ref().as_bytes())?;
        self.out.flush()
    }

    /// Results as they are, in one write.
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.out.flush()
    }

    /// A wire object on a line of its own.
    pub fn object(&mut self, object: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(object)?;
        line.push(b'\n');
        self.out.write_all(&line)?;
        self.out.flush()
    }

    /// A note beside the results.
    pub fn note(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        self.err.write_all(text.as_ref().as_bytes())?;
        self.err.write_all(b"\n")
    }

    /// A reply: the wire object with `--json`, else what `text` makes of it.
    pub fn reply<T: Serialize>(&mut self, reply: &T, text: impl FnOnce(&T, Paint) -> String) -> io::Result<()> {
        if self.json { self.object(reply) } else { self.text(text(reply, self.paint)) }
    }
}

/// Columns of the terminal that results go to.
fn terminal_width() -> Option<usize> {
    if let Some(columns) = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()) {
        return Some(columns);
    }
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one winsize to the pointer, which is valid for the call.
    let answer = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &mut size) };
    (answer == 0 && size.ws_col > 0).then(|| usize::from(size.ws_col))
}
