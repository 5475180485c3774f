/**
 * Options are inputs too: a name that is not known, a value of the wrong type or out of range is refused where it is given. A rule for
 * each option stands in a table whose type follows from the type of the options, so that neither is without the other.
 */

/** What an option takes. */
export interface Rule {
  /** In words, after "takes". */
  readonly takes: string;
  /** @returns whether it is that; `'range'` when it is of the right type and out of range. */
  readonly judge: (value: unknown) => boolean | 'range';
  /** What was given is not shown in messages. */
  readonly isSecret?: boolean;
  /** It decides about trust: one that is there without a value is refused, because a missing piece of configuration must not drop it. */
  readonly decidesTrust?: boolean;
}

/** A rule for each option of `O`, and none else. */
export type Rules<O> = { readonly [K in O extends unknown ? keyof O : never]-?: Rule };

/**
 * Checks the options of a call.
 * @param call how the call is named in messages.
 * @throws {TypeError} for no object, a name that is not known, and a value of the wrong type. @throws {RangeError} for one that is out of range.
 */
export function checkOptions(call: string, given: unknown, rules: Readonly<Record<string, Rule>>): void {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) throw new TypeError(`${call} takes its options as an object, not ${shown(given)}`);
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(rules, name)) throw new TypeError(`${call} has no option ${JSON.stringify(name)}${nearest(name, Object.keys(rules))}`);
    checkOption(call, name, value, rules[name]);
  }
}

/** Checks one value. @throws {TypeError | RangeError} like {@link checkOptions}. */
export function checkOption(call: string, name: string, value: unknown, { takes, judge, isSecret = false, decidesTrust = false }: Rule): void {
  if (value === undefined) {
    if (decidesTrust) throw new TypeError(`${call}: ${name} decides about trust and is there without a value: give it one, or leave it out`);
    return;
  }
  const verdict = judge(value);
  if (verdict === true) return;
  const what = isSecret && typeof value !== 'number' ? `this ${kindOf(value)} (not shown: it may be secret)` : shown(value);
  const message = `${call}: ${name} takes ${takes}, not ${what}`;
  throw verdict === 'range' ? new RangeError(message) : new TypeError(message);
}

/** The same rule for an option that decides about trust. */
export const trust = (rule: Rule): Rule => ({ ...rule, decidesTrust: true });
/** The same rule for an option whose value is not shown. */
export const secret = (rule: Rule): Rule => ({ ...rule, isSecret: true });

export const flag: Rule = { takes: 'true or false', judge: (value) => typeof value === 'boolean' };
export const text: Rule = { takes: 'a text that is not empty', judge: (value) => (typeof value === 'string' ? value !== '' || 'range' : false) };
export const func: Rule = { takes: 'a function', judge: (value) => typeof value === 'function' };
export const bytes: Rule = { takes: 'bytes (a Uint8Array)', judge: (value) => value instanceof Uint8Array };
export const signal: Rule = { takes: "an AbortSignal (of an AbortController its `signal`)", judge: (value) => value instanceof AbortSignal };
export const object: Rule = { takes: 'an object', judge: (value) => typeof value === 'object' && value !== null };
export const milliseconds: Rule = { takes: 'a number of milliseconds; negative or Infinity for no limit', judge: (value) => (typeof value === 'number' ? !Number.isNaN(value) || 'range' : false) };

/** A whole number from `min` to `max`. */
export function count(min: number, max = Infinity): Rule {
  const takes = max === Infinity ? `a whole number of at least ${String(min)}` : `a whole number of ${String(min)}…${String(max)}`;
  return { takes, judge: (value) => (typeof value === 'number' ? (Number.isInteger(value) && value >= min && value <= max) || 'range' : false) };
}

/** A whole number of at least `min`, or Infinity for no limit. */
export function countOrNone(min: number): Rule {
  const { takes, judge } = count(min);
  return { takes: `${takes}, or Infinity for no limit`, judge: (value) => value === Infinity || judge(value) };
}

/** A span that must be there: more than 0, or Infinity for none. */
export const span: Rule = { takes: 'a number of milliseconds above 0, or Infinity for no limit', judge: (value) => (typeof value === 'number' ? value > 0 || 'range' : false) };

/** One of `words`. */
export function oneOf(...words: readonly string[]): Rule {
  return { takes: words.map((word) => `'${word}'`).join(', '), judge: (value) => (typeof value === 'string' ? words.includes(value) || 'range' : false) };
}

/** Whatever is judged elsewhere; `takes` says what. */
export function thing(takes: string, isIt: (value: unknown) => boolean): Rule {
  return { takes, judge: isIt };
}

/** The limits of an operation. */
export const timeouts: Rule = {
  takes: 'an object with blockMs and totalMs, each a number of milliseconds (negative or Infinity for no limit)',
  judge(value) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
    for (const [name, limit] of Object.entries(value)) {
      if (name !== 'blockMs' && name !== 'totalMs') return false;
      if (limit !== undefined && typeof limit !== 'number') return false;
      if (Number.isNaN(limit)) return 'range';
    }
    return true;
  },
};

function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > SHOWN_AT_MOST ? `${value.slice(0, SHOWN_AT_MOST)}…` : value);
  if (typeof value === 'number' || typeof value === 'boolean' || value === null || value === undefined) return String(value);
  if (typeof value === 'bigint') return `${String(value)}n`;
  if (typeof value === 'object' && 'then' in value) return 'a Promise: await it first';
  if (typeof value === 'object' && 'blockMs' in value) return JSON.stringify(value);
  return kindOf(value);
}

function kindOf(value: unknown): string {
  if (typeof value === 'string') return 'text';
  if (Array.isArray(value)) return 'list';
  if (typeof value !== 'object' || value === null) return typeof value;
  const { name } = value.constructor as { readonly name?: string };
  return name === undefined || name === 'Object' ? 'object' : `an object of ${name}`;
}

/** The nearest of the known names, or the one that another library's name stands for. */
function nearest(name: string, known: readonly string[]): string {
  const meant = ELSEWHERE[name.toLowerCase()];
  if (meant !== undefined && known.includes(meant)) return `; it is called ${meant} here`;
  const near = known.map((each) => ({ each, apart: distance(name.toLowerCase(), each.toLowerCase()) })).sort((one, other) => one.apart - other.apart)[0];
  return near !== undefined && near.apart <= Math.max(2, name.length / 3) ? `; did you mean ${near.each}?` : `; it knows ${known.join(', ')}`;
}

/** How many letters must be changed, added or left out to make one word of another (Levenshtein). */
function distance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let at = 1; at <= one.length; at++) {
    const next = [at];
    for (let to = 1; to <= other.length; to++) next.push(Math.min((row[to] ?? 0) + 1, (next[to - 1] ?? 0) + 1, (row[to - 1] ?? 0) + Number(one[at - 1] !== other[to - 1])));
    row = next;
  }
  return row[other.length] ?? 0;
}

const SHOWN_AT_MOST = 60;
// Names of node:tls, LuaSec and others, in lower case.
const ELSEWHERE: Readonly<Record<string, string | undefined>> = {
  minversion: 'protocols', maxversion: 'protocols', secureprotocol: 'protocols', protocol: 'protocols', rejectunauthorized: 'verify', requestcert: 'verify',
  checkserveridentity: 'expect', alpnprotocols: 'alpn', cert: 'certificate', passphrase: 'password', cafile: 'ca', capath: 'ca', crl: 'crls', ecdhcurve: 'groups', sigalgs: 'signatureAlgorithms',
  context: 'secure', tls: 'secure', servername: 'serverName', sni: 'serverName', hostname: 'host', timeout: 'timeouts', blockms: 'timeouts', totalms: 'timeouts', timeoutms: 'timeouts',
};
