//! Which models take `temperature` and `top_p`. Reasoning models answer them with an error, so they are not sent there:
//! a team whose models are swapped by one flag must not fail for a setting that has lost its meaning.

/// OpenAI's reasoning models refuse sampling settings while they reason.
pub(super) fn openai(model: &str) -> bool {
    !["o1", "o3", "o4", "gpt-5", "gpt-6"].iter().any(|reasoning| model.starts_with(reasoning))
}

/// Anthropic's models refuse sampling settings since Opus 4.7; the names of those before are known for good.
pub(super) fn anthropic(model: &str) -> bool {
    let before = |name: &str| model.starts_with(name);
    let named = ["claude-3", "claude-opus-4-20", "claude-sonnet-4-20", "claude-opus-4-0", "claude-sonnet-4-0"];
    let numbered = ["claude-opus-4-1", "claude-opus-4-5", "claude-opus-4-6", "claude-sonnet-4-5", "claude-sonnet-4-6"];
    named.into_iter().chain(numbered).any(before) || before("claude-haiku-4-5")
}

#[cfg(test)]
mod tests {
    #[test]
    fn models_of_before_and_since_are_told_apart() {
        for model in ["claude-sonnet-4-6", "claude-haiku-4-5-20251001", "claude-opus-4-20250514"] {
            assert!(super::anthropic(model), "{model}");
        }
        for model in ["claude-opus-4-7", "claude-sonnet-5", "claude-haiku-5-5", "claude-fable-5-1"] {
            assert!(!super::anthropic(model), "{model}");
        }
        assert!(super::openai("gpt-4.1-mini") && super::openai("my-own-model"));
        assert!(!super::openai("gpt-5.4") && !super::openai("o3") && !super::openai("gpt-6.1-sol"));
    }
}
