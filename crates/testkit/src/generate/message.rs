//! Messages as the official serializer packs them: extension 5, a pydantic model and its fields.

use bytes::Bytes;

use super::pack::Packer;
use super::random::Random;
use super::text;

/// A call of a tool: its id, and what it asks for.
#[derive(Clone, Debug)]
pub(super) struct Call {
    id: String,
    query: String,
}

impl Call {
    /// Makes a call of the search tool.
    pub(super) fn new(random: &mut Random) -> Self {
        let id = format!("call_{:016x}{:08x}", random.next(), random.below(1 << 32));
        let count = random.between(2, 6);
        Self { id, query: text::title(random, count) }
    }
}

/// Makes a person's message of about so many bytes of text.
pub(super) fn human(random: &mut Random, bytes: usize) -> Bytes {
    let content = text::prose(random, bytes);
    let mut fields = Packer::with_capacity(content.len() + 256);
    fields.map(6);
    common(&mut fields, &content, &[], "human", None, &random.uuid());
    packed("langchain_core.messages.human", "HumanMessage", &fields.finish())
}

/// Makes a model's message: an answer of about so many bytes, or the call of a tool.
pub(super) fn ai(random: &mut Random, bytes: usize, call: Option<&Call>) -> Bytes {
    let id = format!("lc_run--{}-0", random.uuid());
    ai_with_id(random, bytes, call, &id)
}

/// Makes a model's message with an id, as an edit of an earlier one has it.
pub(super) fn ai_with_id(
    random: &mut Random,
    bytes: usize,
    call: Option<&Call>,
    id: &str,
) -> Bytes {
    let content = if call.is_some() { String::new() } else { text::prose(random, bytes) };
    let reason = if call.is_some() { "tool_calls" } else { "stop" };
    let mut fields = Packer::with_capacity(content.len() + 512);
    fields.map(9);
    let metadata = [("finish_reason", reason), ("model_name", "gpt-4.1-mini-2025-04-14")];
    common(&mut fields, &content, &metadata, "ai", None, id);
    fields.text("tool_calls").list(usize::from(call.is_some()));
    if let Some(call) = call {
        fields.map(4).text("name").text("search");
        fields.text("args").map(1).text("query").text(&call.query);
        fields.text("id").text(&call.id).text("type").text("tool_call");
    }
    fields.text("invalid_tool_calls").list(0);
    let (input, output) = (random.between(200, 9000), content.len() as u64 / 4 + 20);
    fields.text("usage_metadata").map(3).text("input_tokens").number(input);
    fields.text("output_tokens").number(output).text("total_tokens").number(input + output);
    packed("langchain_core.messages.ai", "AIMessage", &fields.finish())
}

/// Makes the message with which a tool answers a call, JSON of about so many bytes.
pub(super) fn tool(random: &mut Random, bytes: usize, call: &Call) -> Bytes {
    let content = text::results(random, &call.query, bytes);
    let mut fields = Packer::with_capacity(content.len() + 256);
    fields.map(9);
    common(&mut fields, &content, &[], "tool", Some("search"), &random.uuid());
    fields.text("tool_call_id").text(&call.id).text("artifact").nil();
    fields.text("status").text("success");
    packed("langchain_core.messages.tool", "ToolMessage", &fields.finish())
}

/// The six fields that every message begins with.
fn common(
    fields: &mut Packer,
    content: &str,
    metadata: &[(&str, &str)],
    kind: &str,
    name: Option<&str>,
    id: &str,
) {
    fields.text("content").text(content).text("additional_kwargs").map(0);
    fields.text("response_metadata").map(metadata.len());
    for (key, value) in metadata {
        fields.text(key).text(value);
    }
    fields.text("type").text(kind).text("name");
    match name {
        Some(name) => fields.text(name),
        None => fields.nil(),
    };
    fields.text("id").text(id);
}

fn packed(module: &str, class: &str, fields: &[u8]) -> Bytes {
    let mut inner = Packer::with_capacity(fields.len() + 80);
    inner.list(4).text(module).text(class).raw(fields).text("model_validate_json");
    let inner = inner.finish();
    let mut out = Packer::with_capacity(inner.len() + 6);
    out.extension(5, &inner);
    out.finish()
}
