//! What the whole program makes of faults: it is killed, its disk fails, its models and tools are hostile.

mod kill;
