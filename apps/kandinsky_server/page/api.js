// Requests to the server: the key, and refusals as errors.

const STORED = "kandinsky.key";
let askForKey = null;
let asking = null;

/** An answer that is no success. `param` names the field that is wrong. */
export class Refusal extends Error {
  constructor(status, { message, code = "", param = null }, retryAfter = null) {
    super(message);
    Object.assign(this, { status, code, param, retryAfter });
  }
}

export const key = () => sessionStorage.getItem(STORED);
export const forgetKey = () => sessionStorage.removeItem(STORED);
export const onMissingKey = (ask) => (askForKey = ask);

/** Send a request. Paths are relative, so that the page works below any path of a proxy. */
export async function call(path, { method = "GET", json, headers = {}, signal } = {}) {
  for (;;) {
    const used = key();
    const all = { ...headers };
    if (used) all.Authorization = `Bearer ${used}`;
    if (json) all["Content-Type"] = "application/json";
    let response;
    try {
      response = await fetch(path, { method, headers: all, signal, body: json && JSON.stringify(json) });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Refusal(0, { message: "The server cannot be reached. Is it still running?", code: "unreachable" });
    }
    if (response.ok) return response;
    if (response.status !== 401) throw await refusal(response);
    // Another request may have brought a new key meanwhile.
    if (used === key()) await newKey(used !== null);
  }
}

export const callJson = async (path, options) => (await call(path, options)).json();

async function newKey(wrong) {
  asking ??= askForKey(wrong).finally(() => (asking = null));
  const given = await asking;
  if (!given) throw new Refusal(401, { message: "This server asks for a key.", code: "invalid_api_key" });
  sessionStorage.setItem(STORED, given);
}

async function refusal(response) {
  const wait = Number(response.headers.get("Retry-After")) || null;
  const body = await response.json().catch(() => null);
  const error = body?.error ?? { message: `The server answered with ${response.status}.` };
  return new Refusal(response.status, error, wait);
}
