;;; orchestrator.el --- The orchestrator beside your language server -*- lexical-binding: t; -*-

;; lsp-mode runs several servers in one buffer; `:add-on? t' puts this one beside the language's own.
(with-eval-after-load 'lsp-mode
  (lsp-register-client
   (make-lsp-client
    :new-connection (lsp-stdio-connection '("orchestrator" "--lsp"))
    :activation-fn (lambda (&rest _) t)
    :add-on? t
    :server-id 'orchestrator)))

;; eglot runs one server in a buffer. Where a language has none of its own, this one can serve it:
(with-eval-after-load 'eglot
  (add-to-list 'eglot-server-programs '((text-mode conf-mode) . ("orchestrator" "--lsp"))))

(provide 'orchestrator)
;;; orchestrator.el ends here
