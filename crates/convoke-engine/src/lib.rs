//! What happens: use cases by noun, the agent loop, patterns driven to their end, duties.
