// A form made from the JSON Schema of an object: one field for each property, in the schema's order.

import { make } from "./dom.js";
import { T } from "./text.js";

const LONG = 255;
let made = 0;

// fields: elements for a dialog. read(): what differs from what was shown, or all that is filled in when `values` is null.
// Raises an Error with a sentence when a field cannot be read.
export function formOf(schema, values, { leaveOut = [], first = [] } = {}) {
  const all = Object.keys(schema.properties).filter((name) => !leaveOut.includes(name));
  const order = [...new Set([...first.filter((name) => all.includes(name)), ...all])];
  const required = new Set(schema.required ?? []);
  const fields = order.map((name) => field(name, schema.properties[name], values, required.has(name)));
  return {
    elements: fields.flatMap((one) => one.elements),
    read() {
      const result = {};
      for (const one of fields) {
        const value = one.read();
        if (value === undefined) continue;
        if (values === null || JSON.stringify(value) !== JSON.stringify(values[one.name] ?? null)) result[one.name] = value;
      }
      return result;
    },
  };
}

function field(name, schema, values, required) {
  const id = `field-${(made += 1)}`;
  const shown = values === null ? schema.default : values[name];
  const types = [schema.type ?? []].flat();
  const nullable = types.includes("null") || schema.enum?.includes(null);
  const input = inputFor(name, schema, types, shown, required && values === null);
  input.element.id = id;
  const label = make("label", { for: id }, labelOf(name, schema));
  if (!required && nullable) label.append(" ", make("small", {}, T.optional));
  const elements = input.element.type === "checkbox" ? [make("div", { class: "check" }, input.element, label)] : [label, input.element];
  const needs = T.needs[schema["x-change"]];
  const hints = [schema.description && sentence(schema.description), values !== null && needs].filter(Boolean);
  if (hints.length) {
    elements.push(make("p", { class: "hint", id: `${id}-hint` }, hints.join(" ")));
    input.element.setAttribute("aria-describedby", `${id}-hint`);
  }
  const read = () => {
    const value = input.read();
    if (value !== "" || types.includes("string")) {
      if (value === "" && (nullable || (values === null && !required))) return nullable && values !== null ? null : undefined;
      return value;
    }
    return nullable && values !== null ? null : undefined;
  };
  return { name, elements, read };
}

function inputFor(name, schema, types, shown, required) {
  const text = shown === undefined || shown === null ? "" : shown;
  if (schema.enum) {
    const element = make("select", { required });
    const choices = schema.enum.filter((value) => value !== null);
    if (choices.length < schema.enum.length || shown === undefined) element.append(make("option", { value: "" }, "–"));
    choices.forEach((value, index) => element.append(make("option", { value: index, selected: value === shown }, String(value))));
    return { element, read: () => (element.value === "" ? "" : choices[Number(element.value)]) };
  }
  if (types.includes("boolean")) {
    const element = make("input", { type: "checkbox" });
    element.checked = shown === true;
    return { element, read: () => element.checked };
  }
  if (types.includes("integer") || types.includes("number")) {
    const step = types.includes("integer") ? 1 : "any";
    const element = make("input", { type: "number", step, min: schema.minimum, max: schema.maximum, required });
    element.value = text;
    return { element, read: () => (element.value === "" ? "" : Number(element.value)) };
  }
  if (types.includes("string")) {
    const long = isLong(name, schema);
    const element = long
      ? make("textarea", { rows: 6, spellcheck: "false", class: "code", required })
      : make("input", { type: "text", maxlength: schema.maxLength, pattern: safePattern(schema.pattern), required, autocomplete: "off" });
    element.value = text;
    return { element, read: () => element.value };
  }
  const element = make("textarea", { rows: 3, spellcheck: "false", class: "code", required });
  element.value = shown === undefined ? "" : JSON.stringify(shown, null, 1);
  return { element, read: () => (element.value.trim() === "" ? "" : parsed(element.value, name)) };
}

export const isLong = (name, schema) =>
  schema.format === "textarea" || schema.contentMediaType !== undefined || /script|conf$|config|notes/.test(name) || (schema.maxLength ?? 0) > LONG;

// Labels of a browser's own check are no help where its regular expressions are not those of the schema.
function safePattern(pattern) {
  try {
    return pattern && new RegExp(pattern, "v") && /^\^.*\$$/.test(pattern) ? pattern : null;
  } catch {
    return null;
  }
}

function parsed(text, name) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`${labelOf(name, {})}: ${T.notJson}`);
  }
}

export function labelOf(name, schema) {
  if (schema.title) return schema.title;
  const words = name.replaceAll("_", " ");
  return words[0].toUpperCase() + words.slice(1);
}

function sentence(text) {
  const whole = text.trim().replace(/\s+/g, " ");
  return whole[0].toUpperCase() + whole.slice(1) + (/[.?!]$/.test(whole) ? "" : ".");
}
