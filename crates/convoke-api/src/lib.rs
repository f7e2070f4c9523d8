//! What is said: the YAML and JSON shapes of Convoke and their checks.
