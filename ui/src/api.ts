// Requests to the API: JSON in and out, errors as `ApiError`, and repetition of what carries a key.

import { path } from "./base.js";
import { toLogin } from "./router.js";
import type { ApiErrorBody, Json } from "./types.js";

/** The code of an error that says that the server didn't answer. */
export const UNREACHABLE = "unreachable";

const REPEAT_FOR = 30_000; // milliseconds, while the server doesn't answer
const LONGEST_PAUSE = 2_000;
const NO_SERVER: ReadonlySet<number> = new Set([502, 504]); // what a proxy answers in its place

/** What the server says has gone wrong; `status` is 0 if it didn't answer. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly details: { [name: string]: Json } = {},
  ) {
    super(message);
    this.name = "ApiError";
  }
}

export interface RequestOptions {
  /** The `Idempotency-Key`: the request is repeated with it for a while if the server doesn't answer. */
  key?: string;
  signal?: AbortSignal;
  headers?: Record<string, string>;
}

/** Return a new `Idempotency-Key`. */
export function newKey(): string {
  // randomUUID exists in secure contexts only: not over plain HTTP from another machine.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return "page-" + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Ask for JSON. */
export function get<T>(at: string, options: RequestOptions = {}): Promise<T> {
  return json<T>("GET", at, undefined, options);
}

/** Send JSON; without a key the request is sent once, whatever happens. */
export function post<T>(at: string, body?: unknown, options: RequestOptions = {}): Promise<T> {
  return json<T>("POST", at, body, options);
}

export function put<T>(at: string, body?: unknown, options: RequestOptions = {}): Promise<T> {
  return json<T>("PUT", at, body, options);
}

export function patch<T>(at: string, body?: unknown, options: RequestOptions = {}): Promise<T> {
  return json<T>("PATCH", at, body, options);
}

export function del<T = void>(at: string, options: RequestOptions = {}): Promise<T> {
  return json<T>("DELETE", at, undefined, options);
}

/** Send a body as it is, such as a file, and return the JSON of the answer. */
export async function send<T>(
  method: "POST" | "PUT",
  at: string,
  body: BodyInit,
  type: string,
  options: RequestOptions = {},
): Promise<T> {
  const headers = { ...options.headers, "Content-Type": type };
  return answerOf<T>(await ask(method, at, { body, headers }, options));
}

/** Ask for anything, such as text or a file; raises `ApiError` for a status of 400 and more. */
export async function fetched(at: string, options: RequestOptions = {}): Promise<Response> {
  return ask("GET", at, { headers: options.headers }, options);
}

async function json<T>(
  method: string,
  at: string,
  body: unknown,
  options: RequestOptions,
): Promise<T> {
  const headers: Record<string, string> = { ...options.headers };
  const init: RequestInit = { headers };
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(body);
  }
  return answerOf<T>(await ask(method, at, init, options));
}

async function answerOf<T>(answer: Response): Promise<T> {
  const text = await answer.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

async function ask(
  method: string,
  at: string,
  init: RequestInit,
  options: RequestOptions,
): Promise<Response> {
  const headers = new Headers(init.headers);
  if (options.key) headers.set("Idempotency-Key", options.key);
  const until = Date.now() + (options.key ? REPEAT_FOR : 0);
  for (let pause = 200; ; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
    const answer = await fetch(path(at), {
      ...init,
      method,
      headers,
      signal: options.signal,
    }).catch((error: unknown) => {
      if (options.signal?.aborted) throw error;
      return null;
    });
    if (answer?.ok) return answer;
    if (answer && !NO_SERVER.has(answer.status)) {
      const error = await errorOf(answer);
      if (answer.status === 401 && at !== "/login") toLogin();
      throw error;
    }
    // A read is repeated by whoever wants it; what carries a key must come to an end.
    if (Date.now() >= until) throw unreachable();
    await new Promise((done) => setTimeout(done, pause));
  }
}

function unreachable(): ApiError {
  return new ApiError(0, UNREACHABLE, "The server doesn't answer. It is asked again by itself.");
}

async function errorOf(answer: Response): Promise<ApiError> {
  try {
    const { error } = (await answer.json()) as ApiErrorBody;
    return new ApiError(answer.status, error.code, error.message, error.details);
  } catch {
    const words = `The answer has the status ${answer.status}, and no words with it.`;
    return new ApiError(answer.status, "unexpected_answer", words);
  }
}

/** Return whether an error says that a request was called off, which is no news to anybody. */
export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}
