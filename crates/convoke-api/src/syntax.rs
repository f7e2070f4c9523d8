//! What the YAML parser did not understand, in words for people, with the usual cause.

use granit_parser::ErrorKind;

use crate::node::MAX_DEPTH;
use crate::problem::{Finding, finding};

const BRACKET: &str = "close the bracket that is open, or put a comma between the values";
const QUOTE: &str = "close the quote that is open on this line or above";

/// Explains an error of the parser. `tab` says that the line is indented with a tab.
pub(crate) fn explain(kind: &ErrorKind, tab: bool) -> Finding {
    if matches!(kind, ErrorKind::RecursionLimitExceeded) {
        let message = format!("lists and mappings nest deeper than {MAX_DEPTH} levels");
        return finding("too_deep", message, "flatten the value");
    }
    if tab {
        return finding("syntax", "the line is indented with a tab", "indent with spaces");
    }
    let (message, hint) = match kind {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart => ("a tab stands where only spaces may".to_owned(), "use spaces"),
        ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent => {
            ("a quoted text does not end".to_owned(), QUOTE)
        }
        ErrorKind::UnclosedFlowCollection { open } => (format!("the bracket `{open}` is not closed"), BRACKET),
        ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::ExpectedFlowSequenceSeparator => {
            ("a list or mapping in brackets is cut short".to_owned(), BRACKET)
        }
        ErrorKind::InvalidIndentation => {
            let hint =
                "indent it like the lines of its block; if it is indented well, close the bracket that is open above";
            ("the line is not indented as what is open above it needs".to_owned(), hint)
        }
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            ("a line without a colon stands among keys".to_owned(), "write `key: value`, with a colon and a space")
        }
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => {
            let hint =
                "indent the line like the other keys; put text that holds `: ` in quotes, or in a block after `|`";
            ("a `key: value` cannot stand here".to_owned(), hint)
        }
        ErrorKind::ExpectedBlockMappingKey => {
            let hint = "indent the line like the other keys of its block, and write `key: value`";
            ("a key was expected here".to_owned(), hint)
        }
        ErrorKind::UnknownQuotedScalarEscape => (
            "a backslash begins no escape that YAML knows".to_owned(),
            "write a backslash as `\\\\`, or use single quotes",
        ),
        ErrorKind::UnexpectedCharacter { character } => {
            (format!("text cannot begin with `{}`", character.escape_default()), "put the text in quotes")
        }
        other => {
            let hint = "check the indentation (spaces, the same for all keys of a block), colons and quotes";
            (format!("this is not YAML: {other}"), hint)
        }
    };
    finding("syntax", message, hint)
}
