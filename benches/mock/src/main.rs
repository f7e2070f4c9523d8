//! The mock model server as a program: prints its base URL on the first line, then serves until it is killed.

use clap::Parser;
use convoke_bench_mock::Mock;
use convoke_bench_mock::options::Options;

/// A fast mock model server: OpenAI Chat Completions with fixed latency. Statistics are at /__stats and /__records.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    options: Options,
}

fn main() -> anyhow::Result<()> {
    let mock = Mock::start(Args::parse().options)?;
    println!("{}", mock.base_url());
    mock.wait();
    Ok(())
}
