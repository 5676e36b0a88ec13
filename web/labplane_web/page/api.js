// The routes of labplane that the pages use; `labplane openapi` has each of them.

import { at } from "./dom.js";
import { T } from "./text.js";

export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const encode = (path) => path.split("/").map(encodeURIComponent).join("/");

// Who accepts HTML and may not enter gets the login form instead of a challenge, which a browser would take up itself.
const ACCEPT = "application/json, text/html";

async function request(method, path, body) {
  const raw = body instanceof Blob;
  let reply;
  try {
    reply = await fetch(at(path), {
      method,
      cache: "no-store",
      headers: { Accept: ACCEPT, ...(body === undefined || raw ? {} : { "Content-Type": "application/json" }) },
      body: body === undefined ? undefined : raw ? body : JSON.stringify(body),
    });
  } catch {
    throw new Refusal(0, T.unreachable);
  }
  if (reply.status === 401) location.reload();
  if (reply.ok) return reply;
  let message = `${reply.status} ${reply.statusText}`;
  try {
    message = (await reply.json()).message ?? message;
  } catch {
    // a proxy's page: its status has to do
  }
  throw new Refusal(reply.status, message);
}

async function json(method, path, body) {
  const reply = await request(method, path, body);
  const text = await reply.text();
  return text === "" ? null : JSON.parse(text);
}

const project = (id) => `v1/projects/${id}`;
export const vmPath = (vm) => `${project(vm.project_id)}/${vm.kind}/vms/${vm.vm_id}`;
// further: the name of a further console; null for the first one.
export const consolePath = (vm, further) => (further === null ? `${vmPath(vm)}/console` : `${vmPath(vm)}/consoles/${further}`);

export const api = {
  status: () => json("GET", "v1/status"),
  document: () => json("GET", "v1/openapi.json"),
  kindsHere: () => json("GET", "v1/kinds"),
  projects: () => json("GET", "v1/projects"),
  closedProjects: () => json("GET", "v1/closed-projects"),
  project: (id) => json("GET", project(id)),
  createLab: (file) => json("POST", "v1/labs", file),
  createProject: (body) => json("POST", "v1/projects", body),
  updateProject: (id, body) => json("PUT", project(id), body),
  closeProject: (id) => json("POST", `${project(id)}/close`),
  deleteProject: (id) => json("DELETE", project(id)),
  exportProject: async (id) => (await request("GET", `${project(id)}/export`)).blob(),
  exportAddress: (id) => at(`${project(id)}/export`),
  importProject: (id, archive) => json("POST", `${project(id)}/import`, archive),
  file: async (id, path) => (await request("GET", `${project(id)}/files/${encode(path)}`)).text(),
  topology: (id) => json("GET", `${project(id)}/topology`),
  place: (id, nodes) => json("PATCH", `${project(id)}/topology`, { nodes }),
  link: (id, ends) => json("POST", `${project(id)}/links`, { ends }),
  unlink: (id, link) => json("DELETE", `${project(id)}/links/${link}`),
  createVM: (id, kind, body) => json("POST", `${project(id)}/${kind}/vms`, body),
  vm: (vm) => json("GET", vmPath(vm)),
  updateVM: (vm, body) => json("PUT", vmPath(vm), body),
  deleteVM: (vm) => json("DELETE", vmPath(vm)),
  act: (vm, action) => json("POST", `${vmPath(vm)}/${action}`),
};

// The address of a WebSocket of this server.
export function socketAt(path) {
  const address = new URL(at(path));
  address.protocol = address.protocol.replace("http", "ws");
  return address.href;
}
