/**
 * Names of hosts, in the one form in which they are sent, compared and stored: A-labels (RFC 5890) in lower case,
 * without the dot at the end; addresses in their canonical text, without a zone. Only look-ups get the dot and the
 * zone.
 */

import { isIP } from 'node:net';
import { domainToASCII, domainToUnicode } from 'node:url';

import { canonicalAddress } from './ip-address.ts';

/** A valid name in that form, or the reason why it is not valid. */
export type ReadHostName = { readonly name: string } | { readonly fault: string };

/** Reads the name or address of a host, in any spelling. */
export function readHostName(text: string): ReadHostName {
  const address = canonicalAddress(text);
  if (address !== undefined) return { name: address.replace(/%.*/, '') };
  if (text === '') return { fault: 'it is empty' };
  // node:url would truncate the name at some of these characters, and ignore others.
  const [wrong] = NEVER_IN_NAMES.exec(text) ?? [];
  if (wrong !== undefined) return { fault: `a name cannot contain ${JSON.stringify(wrong)}${hintFor(text)}` };
  const ascii = domainToASCII(text).toLowerCase();
  if (ascii === '' || !keepsItsLabels(ascii)) return { fault: 'it is not a valid name under the rules of IDNA' };
  if (isIP(ascii) !== 0) return { fault: `it is another spelling of the address ${ascii}` };
  const name = ascii.endsWith('.') ? ascii.slice(0, -1) : ascii;
  // RFC 1035, section 2.3.4: 255 bytes, which include a length byte for each label and for the root.
  if (name.length > 253) return { fault: 'it is longer than 253 characters' };
  for (const label of name.split('.')) {
    if (label === '') return { fault: 'one of its labels is empty' };
    if (label.length > 63) return { fault: 'one of its labels is longer than 63 characters' };
    if (!LABEL.test(label))
      return { fault: `the label ${JSON.stringify(label)} may only contain letters, digits, - and _` };
  }
  return { name };
}

/**
 * Whether each A-label is the encoding of its U-label (RFC 5891, section 5.4). Some versions of Node accept other
 * labels unchanged.
 */
function keepsItsLabels(ascii: string): boolean {
  if (!A_LABEL.test(ascii)) return true;
  const unicode = domainToUnicode(ascii);
  return !A_LABEL.test(unicode) && domainToASCII(unicode) === ascii;
}

/**
 * @param option the name of the option that `text` comes from, for the error.
 * @returns the name in the form in which it is sent, compared and stored.
 * @throws {RangeError} when the name is not valid.
 */
export function hostName(text: string, option: string): string {
  const read = readHostName(text);
  if ('fault' in read) throw new RangeError(`${option} cannot be ${JSON.stringify(text)}: ${read.fault}`);
  return read.name;
}

/**
 * @returns the name in the form for a look-up. It keeps the dot at the end, so that no search domain is appended, and
 * the zone of an address.
 * @throws {RangeError} like {@link hostName}.
 */
export function lookUpName(text: string, option: string): string {
  const name = hostName(text, option);
  return canonicalAddress(text) ?? (/[.\u3002\uff0e\uff61]$/.test(text) ? `${name}.` : name);
}

/**
 * The wildcard that covers a host with an underscore in its left-most label, as `*.example.test` covers
 * `my_app.example.test`. In OpenSSL, no wildcard covers an underscore; in node:tls, curl and browsers, it does.
 * @returns `undefined` for other names: without an underscore, with one in another label, or with less than two labels
 * after the first.
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
