/** Converts addresses to `struct sockaddr` of Linux and back. */

import { networkInterfaces } from 'node:os';

import type { Address } from '../addresses/address.ts';
import { textOf, wordsOf } from '../addresses/ip-address.ts';

/**
 * @param address an address whose host and port are valid.
 * @returns the bytes for bind(2) and connect(2); `undefined` when this host has no interface of that zone.
 */
export function encodeAddress(address: Address): Uint8Array | undefined {
  if (address.family === 'unix') {
    const path = Buffer.from(address.path);
    // The length of the address limits an abstract name. A zero byte at the end would be part of the name (unix(7)).
    const bytes = Buffer.alloc(2 + path.length + (path[0] === 0 ? 0 : 1));
    bytes.writeUInt16LE(AF_UNIX, 0);
    path.copy(bytes, 2);
    return bytes;
  }
  if (address.family === 'IPv4') {
    const bytes = Buffer.alloc(16);
    bytes.writeUInt16LE(AF_INET, 0);
    bytes.writeUInt16BE(address.port, 2);
    bytes.set(address.host.split('.').map(Number), 4);
    return bytes;
  }
  const [host = '', zone] = address.host.split('%');
  const scope = zone === undefined ? 0 : scopeId(zone);
  if (scope === undefined) return undefined;
  const bytes = Buffer.alloc(28);
  bytes.writeUInt16LE(AF_INET6, 0);
  bytes.writeUInt16BE(address.port, 2);
  wordsOf(host).forEach((word, index) => bytes.writeUInt16BE(word, 8 + 2 * index));
  bytes.writeUInt32LE(scope, 24);
  return bytes;
}

/** @param length how many of `bytes` the kernel has filled. @returns `undefined` for other families. */
export function decodeAddress(bytes: Uint8Array, length: number): Address | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (length < 2) return undefined;
  switch (view.getUint16(0, true)) {
    case AF_UNIX: {
      const path = Buffer.from(bytes.subarray(2, length));
      // The first byte of an abstract name is zero, and others may be zero too.
      const end = path[0] === 0 ? -1 : path.indexOf(0);
      return { family: 'unix', path: path.toString('utf8', 0, end < 0 ? path.length : end) };
    }
    case AF_INET:
      return { family: 'IPv4', host: bytes.subarray(4, 8).join('.'), port: view.getUint16(2) };
    case AF_INET6: {
      const words = Array.from({ length: 8 }, (_, index) => view.getUint16(8 + 2 * index));
      const scope = view.getUint32(24, true);
      return {
        family: 'IPv6',
        host: textOf(words) + (scope === 0 ? '' : `%${String(scope)}`),
        port: view.getUint16(2),
      };
    }
    default:
      return undefined;
  }
}

/** @returns the number of a zone (RFC 4007, section 11); `undefined` when this host has no such interface. */
function scopeId(zone: string): number | undefined {
  if (/^\d+$/.test(zone)) return Number(zone) <= 0xffffffff ? Number(zone) : undefined;
  const addresses = networkInterfaces()[zone];
  // Addresses without a zone, such as ::1, have the scope 0.
  return addresses === undefined ? undefined : (addresses.find((entry) => entry.family === 'IPv6')?.scopeid ?? 0);
}

// bits/socket.h
const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
