// The kinds of machines that this server has, third parties' included, from its OpenAPI document.

import { iconOf } from "./icons.js";
import { T } from "./text.js";

const VMS = /^\/v1\/projects\/\{project_id\}\/([a-z0-9_]+)\/vms$/;
const ACTIONS = ["start", "stop", "reload", "suspend", "resume"];

// Map from kind to {kind, name, icon, create, update, actions, has(property)}; create and update are JSON Schemas.
export function kindsOf(document) {
  const found = new Map();
  for (const [path, operations] of Object.entries(document.paths)) {
    const kind = VMS.exec(path)?.[1];
    if (!kind || !operations.post) continue;
    const vm = `${path}/{vm_id}`;
    const create = whole(document, bodyOf(operations.post));
    found.set(kind, {
      kind,
      name: T.kinds[kind] ?? kind,
      icon: iconOf(kind),
      create,
      update: whole(document, bodyOf(document.paths[vm].put)),
      actions: ACTIONS.filter((action) => document.paths[`${vm}/${action}`]?.post),
      has: (property) => property in create.properties,
    });
  }
  return found;
}

const bodyOf = (operation) => operation.requestBody.content["application/json"].schema;

// A schema with the places that its references lead to put in, as deep as forms look.
function whole(document, schema, depth = 4) {
  if (!schema || typeof schema !== "object" || depth === 0) return schema;
  if (schema.$ref) {
    const steps = schema.$ref.replace(/^#\//, "").split("/");
    const there = steps.reduce((place, step) => place?.[step.replaceAll("~1", "/").replaceAll("~0", "~")], document);
    const { $ref, ...rest } = schema;
    return whole(document, { ...there, ...rest }, depth - 1);
  }
  if (!schema.properties) return schema;
  const properties = Object.entries(schema.properties).map(([name, one]) => [name, whole(document, one, depth - 1)]);
  return { ...schema, properties: Object.fromEntries(properties) };
}

// A name that no machine of the lab has yet: "PC3".
export function freeName(kind, nodes) {
  const taken = new Set([...nodes].map((node) => node.name));
  const stem = kind.name.replace(/\s+/g, "-");
  let number = 1;
  while (taken.has(`${stem}${number}`)) number += 1;
  return `${stem}${number}`;
}
