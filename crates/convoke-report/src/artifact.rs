//! The files that programs left: what each is, how large, and its digest as it was when the program ended.

use convoke_domain::program::{Output, TOOL};
use convoke_domain::record::TaskRecord;

use crate::phrase;
use crate::quote::one_line;
use crate::table::{Cell, Table};
use crate::view::{View, label};

/// The most characters of a path and of a description.
const CHARS: usize = 160;

/// All of them, in the order of the tasks; nothing if there are none.
pub(crate) fn table(view: &View<'_>) -> Option<Table> {
    let mut table = Table::new(&["file", "by", "task", "bytes", "SHA-256", "what it is"]);
    table.rows = view.run.tasks.iter().flat_map(rows).collect();
    (!table.rows.is_empty()).then_some(table)
}

fn rows(task: &TaskRecord) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    for attempt in &task.attempts {
        let ran = attempt.steps.iter().filter(|step| step.kind == "tool" && step.name == TOOL && step.status == "done");
        let outputs = ran.filter_map(|step| serde_json::from_str::<Output>(step.output.as_deref()?).ok());
        for file in outputs.flat_map(|output| output.artifacts) {
            let bytes = file.bytes.and_then(|bytes| i64::try_from(bytes).ok());
            rows.push(vec![
                Cell::Code(one_line(&file.path, CHARS)),
                Cell::Text(attempt.agent.clone()),
                Cell::Text(label(task)),
                Cell::Number(bytes.map_or_else(|| "–".into(), phrase::number)),
                Cell::Code(file.sha256.unwrap_or_else(|| "not measured".into())),
                Cell::Text(one_line(&file.description, CHARS)),
            ]);
        }
    }
    rows
}
