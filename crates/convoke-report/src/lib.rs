//! What is told: a run as Markdown, HTML or JSON; pure.
