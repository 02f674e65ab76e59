//! tokenkeep beside what people would pick instead, and beside the limits of the machine: `benches/peers/run`.
//!
//! Each contender is a process of its own with a store of its own, so that memory and written bytes are its alone. All
//! are asked in turn, round after round, so that what else the machine does is in all of their figures.

mod contenders;
mod draw;
#[path = "../../common/limits.rs"]
mod limits;
mod measure;
mod peer;
mod peers;
mod results;
#[path = "../../common/rows.rs"]
mod rows;
mod worker;

use std::{env, error::Error, fs, path::Path};

use results::Results;

const USAGE: &str =
    "peers measure FOLDER RESULTS ROUNDS SIZE... | peers draw RESULTS DOCUMENT | peers worker CONTENDER FOLDER SIZE";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *arguments.as_slice() {
        ["worker", contender, directory, size] => {
            Ok(contenders::serve(contender, Path::new(directory), size.parse()?)?)
        }
        ["measure", directory, results, rounds, ref sizes @ ..] => {
            let sizes: Vec<usize> = sizes.iter().map(|size| size.parse()).collect::<Result<_, _>>()?;
            let measured = measure::measure(Path::new(directory), rounds.parse()?, &sizes)?;
            Ok(fs::write(results, serde_json::to_string_pretty(&measured)? + "\n")?)
        }
        ["draw", results, document] => {
            let document = Path::new(document);
            let results: Results = serde_json::from_str(&fs::read_to_string(results)?)?;
            draw::draw(&results, &document.with_extension(""))?;
            let (targets, held) = draw::check(&results);
            draw::insert_tables(document, &targets, "targets")?;
            draw::insert_tables(document, &draw::tables(&results), "figures")?;
            println!("{targets}");
            if held { Ok(()) } else { Err("a target is missed".into()) }
        }
        _ => Err(USAGE.into()),
    }
}
