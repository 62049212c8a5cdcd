"use strict";

// Builds every element by hand: names of endpoints and columns come from outside and are only ever text.
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

const typesOf = (schema) => [schema.type].flat();

const fieldFor = (name, schema, value, required) => {
  const types = typesOf(schema);
  const kind = types.filter((type) => type !== "null").join(", ");
  const hint = `${kind}${types.includes("null") ? ", or empty" : ""}${required ? "" : ", optional"}`;
  let control;
  if (types.includes("boolean") && !types.includes("number")) {
    control = make("select", {}, new Option("false", "false"), new Option("true", "true"));
  } else {
    control = make("input", { type: "text", value: value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value) });
    if (types.includes("number")) control.inputMode = "decimal";
    if (types.includes("integer")) control.inputMode = "numeric";
  }
  control.name = name;
  if (schema.description) control.title = schema.description;
  return make("label", {}, name, make("small", { textContent: hint }), control);
};

// What a field says, as JSON; a number that is none is sent as text, so that the server says what is wrong with it.
const valueOf = (text, schema) => {
  const types = typesOf(schema);
  if (types.includes("string")) return text === "" && types.includes("null") ? null : text;
  if (text.trim() === "") return null;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
};

const rowSchema = (operation) => operation.requestBody.content["application/json"].schema.oneOf[0];

const endpoint = (path, operation) => {
  const schema = rowSchema(operation);
  const example = operation.requestBody.content["application/json"].example;
  const required = new Set(schema.required);
  const fields = make("div", { className: "fields" });
  const free = schema.properties === undefined;  // nothing says what columns the model takes
  for (const [name, column] of Object.entries(schema.properties ?? {})) {
    fields.append(fieldFor(name, column, example[name], required.has(name)));
  }
  const body = make("textarea", { spellcheck: false });
  body.setAttribute("aria-label", "The request as JSON");
  const write = () => {
    const row = {};
    for (const control of fields.querySelectorAll("[name]")) {
      if (control.value === "" && !required.has(control.name)) continue;
      row[control.name] = valueOf(control.value, schema.properties[control.name]);
    }
    body.value = JSON.stringify(row, null, 2);
  };
  if (free) {
    body.value = JSON.stringify(example, null, 2);
  } else {
    fields.addEventListener("input", write);
    write();
  }

  const answer = make("pre", { textContent: "Nothing was asked yet." });
  answer.setAttribute("role", "status");
  const command = make("pre");
  const button = make("button", { type: "button", textContent: "Predict" });
  const say = () => {
    const quoted = body.value.replace(/\s*\n\s*/g, " ").replaceAll("'", "'\\''");
    command.textContent = `curl ${location.origin}${path} -d '${quoted}'`;
  };
  button.addEventListener("click", async () => {
    say();
    button.disabled = true;
    const began = performance.now();
    try {
      const response = await fetch(path, { method: "POST", body: body.value, headers: { "Content-Type": "application/json" } });
      const text = await response.text();
      let shown = text;
      try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* shown as it came */ }
      answer.classList.toggle("bad", !response.ok);
      answer.textContent = `${response.status} · ${Math.round(performance.now() - began)} ms\n${shown}`;
    } catch (error) {
      answer.classList.add("bad");
      answer.textContent = `The server cannot be reached: ${error.message}`;
    } finally {
      button.disabled = false;
    }
  });
  body.addEventListener("input", say);
  fields.addEventListener("input", say);
  say();

  const name = operation.tags[0];
  const others = ["endpoints/NAME/invocations", "v2/models/NAME/infer", "v2/models/NAME"].map((form) =>
    make("li", {}, make("code", { textContent: "/" + form.replace("NAME", name) })));
  return make("article", {},
    make("div", {}, make("h2", { textContent: name }), make("p", { className: "muted", textContent: operation.description })),
    make("div", { className: "parts" },
      make("section", {}, make("h3", { textContent: "Row" }), ...(free ? [make("p", { className: "muted", textContent: schema.description }), body] : [fields]), button),
      make("section", {}, make("h3", { textContent: "Answer" }), answer)),
    make("details", {}, make("summary", { textContent: free ? "For the command line" : "As JSON, and for the command line" }), ...(free ? [command] : [body, command])),
    make("details", {}, make("summary", { textContent: "Other protocols" }), make("ul", {}, ...others)));
};

const show = async () => {
  const place = document.getElementById("endpoints");
  try {
    const response = await fetch("/openapi.json");
    const described = await response.json();
    const found = Object.entries(described.paths).filter(([path]) => path.startsWith("/predict/"));
    place.replaceChildren(...found.map(([path, item]) => endpoint(path, item.post)));
    if (!found.length) place.replaceChildren(make("p", { className: "muted", textContent: "No endpoint is served yet. Deploy a version, and come back." }));
  } catch (error) {
    place.replaceChildren(make("pre", { className: "bad", textContent: `openapi.json cannot be read: ${error.message}` }));
  }
};

show();
