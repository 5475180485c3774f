/** The headers of requests, among them those that say where the body ends. */

import { validateHeaderName, validateHeaderValue } from 'node:http';
import type { OutgoingHttpHeaders } from 'node:http';

import { isWhole } from './body.ts';
import type { Body } from './body.ts';

/** The options of a request that determine its headers. */
interface Message {
  readonly headers?: Readonly<OutgoingHttpHeaders> | undefined;
  readonly body?: Body | undefined;
}

/**
 * The headers to send: those that the caller gave, and those that frame the message.
 * @throws {TypeError} when one of the caller's headers is invalid, or is one that the request sets by itself.
 */
export function headersOf(url: URL, { headers, body }: Message): OutgoingHttpHeaders {
  const given = givenHeaders(headers);
  const names = given.map(([name, value]) => {
    validateHeaderName(name);
    for (const each of Array.isArray(value) ? value : [value]) validateHeaderValue(name, each as string);
    return name.toLowerCase();
  });
  const taken = names.find((name) => FRAMING.has(name));
  if (taken !== undefined) throw new TypeError(`https.request sets the header ${taken} by itself`);
  const all: OutgoingHttpHeaders = { host: url.host, ...Object.fromEntries(given) };
  if (body === undefined || names.includes('content-length')) return all;
  return {
    ...all,
    ...(isWhole(body) ? { 'content-length': Buffer.byteLength(body) } : { 'transfer-encoding': 'chunked' }),
  };
}

function givenHeaders(headers: Message['headers'] = {}): [name: string, value: unknown][] {
  return Object.entries(headers).filter(([, value]) => value !== undefined);
}

/**
 * @returns the `content-length` that the caller gave for a body in pieces.
 * @throws {TypeError} when it is not a number of bytes, or is not the length of a text or a byte array.
 */
export function declaredLength({ headers, body = '' }: Message): number | undefined {
  let declared: number | undefined;
  for (const [name, value] of givenHeaders(headers)) {
    if (name.toLowerCase() !== 'content-length') continue;
    if (!/^\d+$/.test(String(value)) || Number(value) !== (declared ?? Number(value)))
      throw new TypeError(`https.request cannot send the content-length ${String(value)}`);
    declared = Number(value);
  }
  if (!isWhole(body)) return declared;
  const length = Buffer.byteLength(body);
  if (declared !== undefined && declared !== length)
    throw new TypeError(
      `the body of the request has ${String(length)} bytes, and its header content-length says ${String(declared)}`,
    );
  return undefined;
}

// The headers that decide where a message ends, and whether the connection is kept. The caller may not set them.
const FRAMING = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade']);
