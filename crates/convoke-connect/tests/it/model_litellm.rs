//! The same conversations once through LiteLLM's proxy in front of aimock: a second, independent reader of our requests.

use crate::model_aimock::{one_tool, text, two_tools};
use crate::model_mock::{Mock, providers};

#[tokio::test(flavor = "multi_thread")]
async fn chat_and_messages_survive_translation() {
    let mock = Mock::aimock().await;
    let folder = tempfile::tempdir().unwrap();
    let proxy = Mock::litellm(&mock.url, folder.path()).await;
    let providers = providers(&proxy.url);
    for (provider, model) in [("openai", "gpt-5"), ("anthropic", "claude-sonnet-5")] {
        text(&providers, provider, model).await;
        one_tool(&providers, provider, model).await;
        two_tools(&providers, provider, model).await;
    }
}
