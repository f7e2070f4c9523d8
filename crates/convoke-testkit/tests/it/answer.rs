//! What models and people say in conducted runs: drawn from the seed and from what is asked, and from nothing else. Most answers
//! fit; some do not, fail, come too late, are refused or declined. Start at [`reply`].

use convoke_domain::flow::made::{Chooser, Draw, answer};
use convoke_domain::transcript::StopReason;
use convoke_port::model::{Fault, ModelError, ModelReply, ModelRequest};
use convoke_testkit::model::{asks, fault, says};
use serde_json::{Value, json};

use crate::conduct::{Conductor, Point};

/// The most items of a plan that is drawn.
const ITEMS_MAX: usize = 3;

/// Somebody is asked something.
pub struct Asked<'a> {
    /// Of which run.
    pub conductor: &'a Conductor,
    /// What is waited for.
    pub at: &'a Point,
    /// The form of the answer.
    pub schema: Option<&'a Value>,
}

impl Asked<'_> {
    /// What a person says; nothing if they decline.
    pub fn of_person(&self) -> Option<String> {
        let draw = self.conductor.draw(self.at, 2);
        self.said(draw, 25)
    }

    fn said(&self, mut draw: Draw, declines: usize) -> Option<String> {
        if draw.chance(declines) {
            return None;
        }
        let text = answer(self.schema, &mut Chance { draw, members: &self.conductor.members });
        Some(if text.is_empty() { "nothing".to_owned() } else { text })
    }
}

/// What is drawn while an answer is made up.
struct Chance<'a> {
    draw: Draw,
    members: &'a [String],
}

impl Chooser for Chance<'_> {
    fn pick(&mut self, at: &str, many: usize) -> usize {
        // Whom to hand to is left open less often than by chance, and more is accepted.
        let usual = match at {
            "hand_to" => 80,
            "verdict" => 40,
            _ => 0,
        };
        if self.draw.chance(usual) { 0 } else { self.draw.below(many) }
    }

    fn length(&mut self, _: &str, least: usize, most: usize) -> usize {
        match self.draw.below(40) {
            0 => 0,
            _ => least + self.draw.below(most.min(ITEMS_MAX).saturating_sub(least) + 1),
        }
    }

    fn text(&mut self, at: &str) -> String {
        let whom = matches!(at, "hand_to" | "next") && self.draw.chance(80);
        match self.draw.below(8) {
            0..=4 if !whom => ["x", "y", "42", ""][self.draw.below(4)].to_owned(),
            5 if !whom => format!("{{{{ {} }}}} # {}", self.draw.below(1_000), self.draw.below(1_000)),
            _ => self.members[self.draw.below(self.members.len())].clone(),
        }
    }
}

/// What a model says.
pub fn reply(conductor: &Conductor, request: &ModelRequest, at: &Point) -> Result<ModelReply, ModelError> {
    let mut draw = conductor.draw(at, 3);
    // Some runs go well, some badly.
    let failures = [0, 1, 6, 25][Draw::new(conductor.seed).below(4)];
    match draw.below(100) {
        number if number < failures => return fails(&mut draw),
        number if number < 2 * failures => return Ok(says("{\"this\": is no form that anybody asked for")),
        _ => {}
    }
    if let Some(reply) = uses_tool(conductor, request, &mut draw) {
        return Ok(reply);
    }
    let asked = Asked { conductor, at, schema: request.output_schema.as_ref() };
    Ok(says(asked.said(draw, 0).unwrap_or_default()))
}

fn fails(draw: &mut Draw) -> Result<ModelReply, ModelError> {
    match draw.below(5) {
        0 => Err(fault(Fault::Timeout, "no answer came in time")),
        1 => Err(fault(Fault::Overloaded, "too much to do")),
        2 => Err(fault(Fault::BadRequest, "it broke")),
        3 => Ok(ModelReply { stop: StopReason::Refusal, ..says("I would rather not") }),
        _ => Ok(says("")),
    }
}

/// Locks a file and writes it, or writes to somebody, where such tools are offered.
fn uses_tool(conductor: &Conductor, request: &ModelRequest, draw: &mut Draw) -> Option<ModelReply> {
    let has = |name: &str| request.tools.iter().any(|tool| tool.name == name);
    let file = format!("shared/{}.md", draw.below(2));
    match request.origin.turn {
        1 if has("lock") && draw.chance(60) => {
            Some(asks(&[("c1", "lock", json!({"resources": [format!("file:{file}")]}))]))
        }
        2 if has("write_file") && draw.chance(50) => {
            Some(asks(&[("c2", "write_file", json!({"path": file, "content": "text"}))]))
        }
        3 if has("unlock") && draw.chance(30) => Some(asks(&[("c3", "unlock", json!({}))])),
        1 if has("send") && draw.chance(30) => {
            let to = &conductor.members[draw.below(conductor.members.len())];
            Some(asks(&[("c1", "send", json!({"to": to, "message": "have a look"}))]))
        }
        _ => None,
    }
}
