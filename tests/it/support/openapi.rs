//! The providers' wire schemas as a referee between the sandbox and whoever talks to it. Here: the
//! project's copies of the schemas, and checks of requests and answers. Never here: a rule that the
//! schemas do not state. Read next: `tests/openapi/stripe.json`, `tests/openapi/chargebee.json`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

/// Both are derived from MIT-licensed sources that the files themselves name.
const STRIPE: &str = include_str!("../../openapi/stripe.json");
const CHARGEBEE: &str = include_str!("../../openapi/chargebee.json");

/// The wire schemas of one provider.
#[derive(Debug)]
pub(crate) struct Schemas {
    document: Value,
    /// The validators of single schemas, each built once.
    built: Mutex<HashMap<String, Arc<Validator>>>,
}

/// Those of Stripe, which the functions without a provider ask.
pub(crate) fn stripe() -> &'static Schemas {
    static SCHEMAS: OnceLock<Schemas> = OnceLock::new();
    SCHEMAS.get_or_init(|| Schemas::read(STRIPE))
}

/// Those of Chargebee; their paths begin after `/api/v2`.
pub(crate) fn chargebee() -> &'static Schemas {
    static SCHEMAS: OnceLock<Schemas> = OnceLock::new();
    SCHEMAS.get_or_init(|| Schemas::read(CHARGEBEE))
}

/// Checks a request's parameters: the query of a GET, the form of a POST.
pub(crate) fn check_request(
    method: &str,
    path: &str,
    pairs: &[(String, String)],
) -> Result<(), String> {
    stripe().check_request(method, path, pairs)
}

/// Checks a request's document.
pub(crate) fn check_document(method: &str, path: &str, document: &Value) -> Result<(), String> {
    stripe().check_document(method, path, document)
}

/// Checks an answer's status and body.
pub(crate) fn check_response(
    method: &str,
    path: &str,
    status: u16,
    body: &Value,
) -> Result<(), String> {
    stripe().check_response(method, path, status, body)
}

/// Checks an object by the name of its schema, where the schemas know the object and not the call.
pub(crate) fn check_object(name: &str, object: &Value) -> Result<(), String> {
    stripe().check_object(name, object)
}

/// Whether the schemas know this call at all.
pub(crate) fn knows(method: &str, path: &str) -> bool {
    stripe().knows(method, path)
}

impl Schemas {
    fn read(text: &str) -> Self {
        let mut document = serde_json::from_str(text).expect("the schemas are JSON");
        spell_out_nullable(&mut document);
        Self { document, built: Mutex::default() }
    }

    pub(crate) fn check_request(
        &self,
        method: &str,
        path: &str,
        pairs: &[(String, String)],
    ) -> Result<(), String> {
        let (template, operation) = self.operation(method, path)?;
        let schema = if method == "GET" {
            query_schema(operation)
        } else {
            let form = operation
                .pointer("/requestBody/content/application~1x-www-form-urlencoded/schema")
                .cloned();
            // An operation without a body takes no parameters.
            form.unwrap_or_else(|| json!({ "type": "object", "additionalProperties": false }))
        };
        let instance = nest(pairs, &schema)?;
        self.validate(&format!("{method} {template} request"), &schema, &instance)
    }

    pub(crate) fn check_document(
        &self,
        method: &str,
        path: &str,
        document: &Value,
    ) -> Result<(), String> {
        let (template, operation) = self.operation(method, path)?;
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        self.validate(&format!("{method} {template} request"), schema, document)
    }

    pub(crate) fn check_response(
        &self,
        method: &str,
        path: &str,
        status: u16,
        body: &Value,
    ) -> Result<(), String> {
        let (template, operation) = self.operation(method, path)?;
        let responses = &operation["responses"];
        let name = if responses.get(status.to_string()).is_some() {
            status.to_string()
        } else if status < 400 {
            return Err(format!("{method} {template} does not document the status {status}"));
        } else {
            "default".to_owned()
        };
        let schema = &responses[&name]["content"]["application/json"]["schema"];
        self.validate(&format!("{method} {template} {name}"), schema, body)
    }

    pub(crate) fn check_object(&self, name: &str, object: &Value) -> Result<(), String> {
        self.validate(name, &self.document["components"]["schemas"][name], object)
    }

    pub(crate) fn knows(&self, method: &str, path: &str) -> bool {
        self.operation(method, path).is_ok()
    }

    fn operation(&self, method: &str, path: &str) -> Result<(String, &Value), String> {
        let paths = self.document["paths"].as_object().expect("paths is an object");
        let fits = |template: &str| {
            let (left, right) = (template.split('/'), path.split('/'));
            left.clone().count() == right.clone().count()
                && left.zip(right).all(|(left, right)| left == right || left.starts_with('{'))
        };
        let found = paths.iter().find(|(template, _)| fits(template));
        let (template, item) = found.ok_or_else(|| format!("no schema for {path}"))?;
        let operation = item.get(method.to_lowercase());
        let operation = operation.ok_or_else(|| format!("no schema for {method} {template}"))?;
        Ok((template.clone(), operation))
    }

    fn validate(&self, name: &str, schema: &Value, instance: &Value) -> Result<(), String> {
        let errors: Vec<String> = self
            .validator(name, schema)
            .iter_errors(instance)
            .map(|error| format!("{} at {}", error, error.instance_path()))
            .collect();
        if errors.is_empty() {
            return Ok(());
        }
        Err(format!("{name}: {}\n{instance:#}", errors.join("; ")))
    }

    fn validator(&self, name: &str, schema: &Value) -> Arc<Validator> {
        let mut built = self.built.lock().expect("no test panics in here");
        let build = || {
            let mut whole = schema.clone();
            whole["components"] = self.document["components"].clone();
            Arc::new(jsonschema::validator_for(&whole).expect("the schemas are sound"))
        };
        Arc::clone(built.entry(name.to_owned()).or_insert_with(build))
    }
}

/// OpenAPI 3.0 writes `nullable: true` beside a type; JSON Schema wants null among the types.
fn spell_out_nullable(node: &mut Value) {
    match node {
        Value::Object(fields) => {
            fields.values_mut().for_each(spell_out_nullable);
            if fields.get("nullable") == Some(&Value::Bool(true)) {
                let bare = Value::Object(fields.clone());
                let mut bare = bare;
                if let Some(fields) = bare.as_object_mut() {
                    fields.remove("nullable");
                }
                *node = json!({ "anyOf": [bare, { "type": "null" }] });
            }
        }
        Value::Array(items) => items.iter_mut().for_each(spell_out_nullable),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn query_schema(operation: &Value) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        if parameter["in"] != "query" {
            continue;
        }
        let name = parameter["name"].as_str().expect("a parameter has a name");
        properties.insert(name.to_owned(), parameter["schema"].clone());
        if parameter["required"] == true {
            required.push(name);
        }
    }
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// Turns `name[key]=value` pairs into the object they write, with integers where the schema has
/// them.
fn nest(pairs: &[(String, String)], schema: &Value) -> Result<Value, String> {
    let mut object = Map::new();
    for (name, value) in pairs {
        let (head, rest) = name
            .split_once('[')
            .map_or((name.as_str(), None), |(head, rest)| (head, Some(rest.trim_end_matches(']'))));
        let property = &schema["properties"][head];
        match rest {
            None => {
                if object.insert(head.to_owned(), typed(value, property)).is_some() {
                    return Err(format!("{head} is there twice"));
                }
            }
            Some(_) if property["type"] == "array" => {
                let items = object.entry(head).or_insert_with(|| json!([]));
                items.as_array_mut().ok_or("mixed forms")?.push(json!(value));
            }
            Some(key) => {
                let fields = object.entry(head).or_insert_with(|| json!({}));
                let fields = fields.as_object_mut().ok_or("mixed forms")?;
                fields.insert(key.to_owned(), typed(value, field_of(property, key)));
            }
        }
    }
    Ok(Value::Object(object))
}

/// The schema of a field, also where an object is one of several choices.
fn field_of<'a>(schema: &'a Value, key: &str) -> &'a Value {
    let choices = schema["anyOf"].as_array().into_iter().flatten();
    let mut found = choices.map(|choice| field_of(choice, key)).chain([&schema["properties"][key]]);
    found.find(|field| !field.is_null()).unwrap_or(&Value::Null)
}

fn typed(text: &str, schema: &Value) -> Value {
    match (text.parse::<i64>(), text) {
        (Ok(number), _) if schema["type"] == "integer" => json!(number),
        (_, "true" | "false") if schema["type"] == "boolean" => json!(text == "true"),
        (Ok(_) | Err(_), _) => json!(text),
    }
}
