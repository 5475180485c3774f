/**
 * Names of hosts, in the one form by which they are sent, compared and kept: A-labels (RFC 5890) in lower case, without
 * the dot at the end; addresses in their canonical text, without a zone. The look-up alone is given the dot and the
 * zone.
 */

import { isIP } from 'node:net';
import { domainToASCII, domainToUnicode } from 'node:url';

import { canonicalAddress } from './ip-address.ts';

/** A name that was read, or why no host can have it. */
export type ReadHostName = { readonly name: string } | { readonly fault: string };

/** Reads a host's name or address, however it is spelt. */
export function readHostName(text: string): ReadHostName {
  const address = canonicalAddress(text);
  if (address !== undefined) return { name: address.replace(/%.*/, '') };
  if (text === '') return { fault: 'it is empty' };
  // node:url would cut the name off at some of them, and pass over others.
  const [wrong] = NEVER_IN_NAMES.exec(text) ?? [];
  if (wrong !== undefined) return { fault: `a name has no ${JSON.stringify(wrong)} in it${hintFor(text)}` };
  const ascii = domainToASCII(text).toLowerCase();
  if (ascii === '' || !keepsItsLabels(ascii)) return { fault: 'it is no name by the rules of IDNA' };
  if (isIP(ascii) !== 0) return { fault: `it is another spelling of the address ${ascii}` };
  const name = ascii.endsWith('.') ? ascii.slice(0, -1) : ascii;
  // RFC 1035, section 2.3.4: 255 bytes with the lengths of the labels and the root.
  if (name.length > 253) return { fault: 'it is longer than 253 characters' };
  for (const label of name.split('.')) {
    if (label === '') return { fault: 'one of its labels is empty' };
    if (label.length > 63) return { fault: 'one of its labels is longer than 63 characters' };
    if (!LABEL.test(label))
      return { fault: `the label ${JSON.stringify(label)} has other characters than letters, digits, - and _` };
  }
  return { name };
}

/**
 * Whether each A-label is what its U-label becomes (RFC 5891, section 5.4): some versions of Node pass others on as
 * they are.
 */
function keepsItsLabels(ascii: string): boolean {
  if (!A_LABEL.test(ascii)) return true;
  const unicode = domainToUnicode(ascii);
  return !A_LABEL.test(unicode) && domainToASCII(unicode) === ascii;
}

/**
 * @returns the name as it is sent, compared and kept.
 * @throws {RangeError} that names the `option` when no host can have it.
 */
export function hostName(text: string, option: string): string {
  const read = readHostName(text);
  if ('fault' in read) throw new RangeError(`${option} cannot be ${JSON.stringify(text)}: ${read.fault}`);
  return read.name;
}

/**
 * @returns the name to look up: the dot at the end, by which no domain is tried behind it, and the zone of an address
 * stay.
 * @throws {RangeError} like {@link hostName}.
 */
export function lookUpName(text: string, option: string): string {
  const name = hostName(text, option);
  return canonicalAddress(text) ?? (/[.\u3002\uff0e\uff61]$/.test(text) ? `${name}.` : name);
}

/**
 * The wildcard that stands for a host with an underscore in its left-most label, as `*.example.test` does for
 * `my_app.example.test`. OpenSSL lets no wildcard cover an underscore; node:tls, curl and browsers do.
 * @returns `undefined` for other names: with an underscore further up, or with less than two labels behind the first.
 */
export function wildcardOverUnderscore(name: string): string | undefined {
  const [, parent] = /^(?!xn--)[a-z0-9_-]*_[a-z0-9_-]*((?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?){2,})$/.exec(name) ?? [];
  return parent === undefined ? undefined : `*${parent}`;
}

function hintFor(text: string): string {
  if (/^\[.*\]$/.test(text)) return '; write an address without brackets';
  return text.includes('://') ? '; write the name alone, not the whole URL' : '';
}

const NEVER_IN_NAMES = /[%/\\:@#?\s\p{Cc}]/u;
const A_LABEL = /(?:^|\.)xn--/;
const LABEL = /^[a-z0-9_-]+$/;
