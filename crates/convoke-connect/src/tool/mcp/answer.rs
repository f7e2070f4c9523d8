//! What a model reads of a server's answer.
//!
//! Rule: text as it is; structured content as JSON where there is no text; what a model cannot read here is named, not given.

use convoke_port::tool::ToolOutput;
use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};

use crate::tool::job::cut;

/// Bytes kept for the note about a cut.
const NOTE: usize = 100;

/// The answer in at most `most` bytes.
pub(crate) fn read(result: &CallToolResult, most: usize) -> ToolOutput {
    let mut parts: Vec<String> = result.content.iter().map(block).collect();
    let has_text = result.content.iter().any(|block| matches!(block, ContentBlock::Text(_)));
    if let Some(value) = result.structured_content.as_ref().filter(|_| !has_text) {
        parts.push(value.to_string());
    }
    let text = parts.join("\n");
    let room = most.saturating_sub(NOTE);
    let content = match text.len() {
        0 => "(an empty answer)".to_owned(),
        length if length > room => {
            let shown = cut(&text, room);
            format!("{shown}\n[cut: {} of {length} bytes]", shown.len())
        }
        _ => text,
    };
    ToolOutput { content, is_error: result.is_error == Some(true) }
}

fn block(block: &ContentBlock) -> String {
    match block {
        ContentBlock::Text(text) => text.text.clone(),
        ContentBlock::Image(image) => left_out("image", &image.mime_type, image.data.len()),
        ContentBlock::Audio(audio) => left_out("sound", &audio.mime_type, audio.data.len()),
        ContentBlock::ResourceLink(link) => format!("[resource {}: {}]", link.name, link.uri),
        ContentBlock::Resource(resource) => match &resource.resource {
            ResourceContents::TextResourceContents { uri, text, .. } => format!("[resource {uri}]\n{text}"),
            ResourceContents::BlobResourceContents { uri, blob, .. } => {
                left_out(&format!("resource {uri}"), "binary", blob.len())
            }
            _ => "[a resource of a kind that is not known here]".to_owned(),
        },
        #[allow(unreachable_patterns)]
        _ => "[something of a kind that is not known here]".to_owned(),
    }
}

fn left_out(what: &str, kind: &str, base64: usize) -> String {
    format!("[{what} left out: {}, {} bytes]", cut(kind, 100), base64 / 4 * 3)
}
