/**
 * The protocol of session servers. It consists of frames. Each request gets one answer; many requests may be under way,
 * and answers come in any order.
 *
 * A frame is a length of four bytes, big-endian, and a body of that length: version (one byte), kind (one byte), the
 * request's number (four bytes), and then
 * - get, remove and take: the key;
 * - set: the time to live in milliseconds (four bytes), the key's length (one byte), the key, the value;
 * - value: the value; none and done: nothing; failed: the reason (one byte).
 */

import { KEY_AT_MOST, TTL_AT_MOST_MS, VALUE_AT_MOST } from '../store.ts';
import { isKey } from '../store-entry.ts';
import { StoreError } from '../store-error.ts';
import type { StoreFailure } from '../store-error.ts';

/** A client's request. */
export type StoreRequest =
  | { readonly kind: 'get' | 'remove' | 'take'; readonly key: string }
  | { readonly kind: 'set'; readonly key: string; readonly value: Uint8Array; readonly ttlMs: number };

/** A server's answer. */
export type StoreAnswer =
  | { readonly kind: 'value'; readonly value: Uint8Array }
  | { readonly kind: 'none' | 'done' }
  | { readonly kind: 'failed'; readonly reason: StoreFailure };

/** @returns the frame of a request. Its key and value must be valid. */
export function encodeRequest(id: number, request: StoreRequest): Uint8Array {
  if (request.kind !== 'set') return frame(id, request.kind, Buffer.from(request.key, 'latin1'));
  const head = Buffer.allocUnsafe(SET_HEAD);
  head.writeUInt32BE(Math.ceil(request.ttlMs), 0);
  head.writeUInt8(request.key.length, 4);
  return frame(id, 'set', head, Buffer.from(request.key, 'latin1'), request.value);
}

/** @returns the frame of an answer. */
export function encodeAnswer(id: number, answer: StoreAnswer): Uint8Array {
  switch (answer.kind) {
    case 'value':
      return frame(id, 'value', answer.value);
    case 'failed':
      return frame(id, 'failed', Uint8Array.of(FAILURES.indexOf(answer.reason)));
    case 'none':
    case 'done':
      return frame(id, answer.kind);
  }
}

/** @returns the length of the body that follows `header`. @throws {StoreError} when no frame can have that length. */
export function bodyLength(header: Uint8Array): number {
  const length = viewOf(header).getUint32(0);
  if (length < BODY_HEAD || length > BODY_AT_MOST) throw malformed();
  return length;
}

/** @throws {StoreError} when the body is not a valid request. */
export function decodeRequest(body: Uint8Array): { readonly id: number; readonly request: StoreRequest } {
  const { id, kind, rest } = open(body);
  switch (kind) {
    case 'get':
    case 'remove':
    case 'take':
      return { id, request: { kind, key: keyOf(rest) } };
    case 'set': {
      if (rest.length < SET_HEAD) throw malformed();
      const ttlMs = viewOf(rest).getUint32(0);
      const valueAt = SET_HEAD + (rest[4] ?? 0);
      const value = rest.subarray(valueAt);
      if (ttlMs === 0 || ttlMs > TTL_AT_MOST_MS || valueAt > rest.length || value.length > VALUE_AT_MOST)
        throw malformed();
      return { id, request: { kind, ttlMs, key: keyOf(rest.subarray(SET_HEAD, valueAt)), value } };
    }
    default:
      throw malformed();
  }
}

/** @throws {StoreError} when the body is not a valid answer. */
export function decodeAnswer(body: Uint8Array): { readonly id: number; readonly answer: StoreAnswer } {
  const { id, kind, rest } = open(body);
  switch (kind) {
    case 'value':
      if (rest.length > VALUE_AT_MOST) throw malformed();
      return { id, answer: { kind, value: new Uint8Array(rest) } };
    case 'failed': {
      const reason = FAILURES[rest[0] ?? FAILURES.length];
      if (reason === undefined || rest.length !== 1) throw malformed();
      return { id, answer: { kind, reason } };
    }
    case 'none':
    case 'done':
      if (rest.length > 0) throw malformed();
      return { id, answer: { kind } };
    default:
      throw malformed();
  }
}

function frame(id: number, kind: Kind, ...parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, BODY_HEAD);
  const bytes = Buffer.allocUnsafeSlow(HEADER_BYTES + length);
  bytes.writeUInt32BE(length, 0);
  bytes.writeUInt8(VERSION, HEADER_BYTES);
  bytes.writeUInt8(KINDS.indexOf(kind), HEADER_BYTES + 1);
  bytes.writeUInt32BE(id, HEADER_BYTES + 2);
  let at = HEADER_BYTES + BODY_HEAD;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function open(body: Uint8Array): { readonly id: number; readonly kind: Kind | undefined; readonly rest: Uint8Array } {
  if (body.length < BODY_HEAD || body[0] !== VERSION) throw malformed();
  return { id: viewOf(body).getUint32(2), kind: KINDS[body[1] ?? 0], rest: body.subarray(BODY_HEAD) };
}

function keyOf(bytes: Uint8Array): string {
  const key = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, KEY_AT_MOST + 1)).toString('latin1');
  if (!isKey(key)) throw malformed();
  return key;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function malformed(): StoreError {
  return new StoreError('failed', "the peer does not speak the session server's protocol, or another version of it");
}

type Kind = StoreRequest['kind'] | StoreAnswer['kind'];
// The number of a kind or failure is its index.
const KINDS: readonly Kind[] = ['get', 'set', 'remove', 'value', 'none', 'done', 'failed', 'take'];
const FAILURES: readonly StoreFailure[] = ['failed', 'timeout', 'busy', 'full', 'closed'];
const VERSION = 1;
/** How many bytes precede a body. */
export const HEADER_BYTES = 4;
const BODY_HEAD = 6;
const SET_HEAD = 5;
const BODY_AT_MOST = BODY_HEAD + SET_HEAD + KEY_AT_MOST + VALUE_AT_MOST;
