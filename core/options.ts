/**
 * Checks of options. A call refuses an unknown name, and a value of the wrong type or out of range, before it begins
 * anything. A table has a rule for each option. Its type follows from the type of the options: the compiler refuses an
 * option without a rule, and a rule without an option.
 */

/** The values that an option takes. */
export interface Rule {
  /** A description of the values, as it stands in messages after "takes". */
  readonly takes: string;
  /** @returns whether the option takes `value`; `'range'` when the type is right but the value is out of range. */
  readonly judge: (value: unknown) => boolean | 'range';
  /** The rules for the members of the value, when it is an object of options. */
  readonly within?: Table | undefined;
  /** The rule for each member of the value, when it is a list. */
  readonly each?: Rule | undefined;
  /** Whether messages hide the value that was given. */
  readonly isSecret?: boolean;
  /**
   * Whether the option decides about trust. Such an option is refused when it is `undefined`, because a missing piece
   * of configuration must not switch off a check without an error.
   */
  readonly decidesTrust?: boolean;
  readonly isRequired?: boolean;
}

/** Rules by the names of options. */
export type Table = Readonly<Record<string, Rule>>;

/** A rule for each option of `O`, and no others. For a union: for each option of its members. */
export type Rules<O> = { readonly [K in O extends unknown ? keyof O : never]-?: Rule };

/**
 * Checks the options of a call. Allocates nothing when they are right.
 * @param call the name of the call, for messages.
 * @throws {TypeError} when `given` is not an object, has an unknown name, or has a value of the wrong type.
 * @throws {RangeError} when a value is out of range.
 */
export function checkOptions(call: string, given: unknown, rules: Table): void {
  if (!isOptions(given)) throw new TypeError(`${call} takes its options as an object, not ${shown(given)}`);
  checkNames(call, '', given, rules);
}

/** Checks an argument that is not optional. @throws {TypeError | RangeError} like {@link checkOptions}. */
export function checkArgument(call: string, name: string, value: unknown, rule: Rule): void {
  if (value === undefined) throw refusal(call, name, value, rule, false);
  checkValue(call, '', name, value, rule);
}

function checkNames(call: string, parent: string, given: object, rules: Table): void {
  // Inherited names are checked too, because calls read them too. A property added to Object.prototype is no option.
  for (const name in given) {
    if (Object.hasOwn(rules, name) || (!Object.hasOwn(given, name) && name in Object.prototype)) continue;
    throw new TypeError(
      `${call} has no option ${JSON.stringify(pathOf(parent, name))}${meant(name, Object.keys(rules))}`,
    );
  }
  for (const name in rules) {
    if (!Object.hasOwn(rules, name)) continue;
    const rule = rules[name];
    const value = (given as Readonly<Record<string, unknown>>)[name];
    if (value !== undefined) checkValue(call, parent, name, value, rule);
    else if (rule.decidesTrust === true && name in given)
      throw new TypeError(
        `${call}: ${pathOf(parent, name)} decides about trust and is undefined: give it a value, or leave it out`,
      );
    else if (rule.isRequired === true) throw new TypeError(`${call} needs ${pathOf(parent, name)}: ${rule.takes}`);
  }
}

function checkValue(call: string, parent: string, name: string, value: unknown, rule: Rule): void {
  const verdict = rule.judge(value);
  if (verdict !== true) throw refusal(call, pathOf(parent, name), value, rule, verdict);
  if (rule.within !== undefined && isOptions(value)) checkNames(call, pathOf(parent, name), value, rule.within);
  if (rule.each !== undefined && Array.isArray(value)) checkEach(call, pathOf(parent, name), value, rule.each);
}

function checkEach(call: string, path: string, list: readonly unknown[], rule: Rule): void {
  // By index, because forEach would skip the holes of a list. A hole is refused as undefined.
  for (let at = 0; at < list.length; at++) checkArgument(call, `${path}[${String(at)}]`, list[at], rule);
}

function pathOf(parent: string, name: string): string {
  return parent === '' ? name : `${parent}.${name}`;
}

function refusal(
  call: string,
  path: string,
  value: unknown,
  { takes, isSecret = false }: Rule,
  verdict: false | 'range',
): Error {
  const message = `${call}: ${path} takes ${takes}, not ${isSecret ? hidden(value) : shown(value)}`;
  return verdict === 'range' ? new RangeError(message) : new TypeError(message);
}

// Parts of rules.

/** The same rule, for an option that decides about trust. */
export const trust = (rule: Rule): Rule => ({ ...rule, decidesTrust: true });
/** The same rule, for an option whose value messages must not show. */
export const secret = (rule: Rule): Rule => ({ ...rule, isSecret: true });
/** The same rule, for an option that is required. */
export const required = (rule: Rule): Rule => ({ ...rule, isRequired: true });

/** A rule for the values for which `judge` returns `true`. `takes` describes them. */
export const thing = (takes: string, judge: Rule['judge']): Rule => ({ takes, judge });

/** `true` or `false`. */
export const flag = thing('true or false', (value) => typeof value === 'boolean');
/** A non-empty string. */
export const text = thing('a non-empty string', (value) => typeof value === 'string' && (value !== '' || 'range'));
/** A function. */
export const func = thing('a function', (value) => typeof value === 'function');
/** A `Uint8Array`, which a `Buffer` is. */
export const bytes = thing('bytes (a Uint8Array)', (value) => value instanceof Uint8Array);
/** An `AbortSignal`. */
export const signal = thing(
  'an AbortSignal (the `signal` of an AbortController)',
  (value) => value instanceof AbortSignal,
);

/** A number for which `isIn` returns `true`. */
export const number = (takes: string, isIn: (value: number) => boolean): Rule =>
  thing(takes, (value) => typeof value === 'number' && (isIn(value) || 'range'));

/** A limit. */
export const milliseconds = number(
  'a number of milliseconds (negative or Infinity: no limit)',
  (value) => !Number.isNaN(value),
);
/** A span of time that is not a limit. */
export const duration = number(
  'a number of milliseconds of at least 0, and finite',
  (value) => value >= 0 && value < Infinity,
);
/** A limit that cannot be switched off by a negative number. */
export const span = number('a number of milliseconds above 0, or Infinity for no limit', (value) => value > 0);
/** A limit that cannot be switched off at all. */
export const finiteSpan = number(
  'a number of milliseconds above 0 and below 2^31',
  (value) => value > 0 && value < 2 ** 31,
);

/** A whole number from `min` to `max`. */
export function count(min: number, max = Number.MAX_SAFE_INTEGER): Rule {
  const takes =
    max === Number.MAX_SAFE_INTEGER
      ? `a whole number of at least ${String(min)}`
      : `a whole number of ${String(min)}…${String(max)}`;
  return number(takes, (value) => Number.isSafeInteger(value) && value >= min && value <= max);
}

/** A whole number of at least `min`, or Infinity for no limit. */
export function countOrNone(min: number): Rule {
  return either(
    count(min),
    number('Infinity for no limit', (value) => value === Infinity),
  );
}

/** One of `words`. */
export function oneOf(...words: readonly string[]): Rule {
  return thing(
    words.map((word) => `'${word}'`).join(' or '),
    (value) => typeof value === 'string' && (words.includes(value) || 'range'),
  );
}

/** An object of options. `takes` describes it where the names of the options do not say enough. */
export function group(rules: Table, takes = `{ ${Object.keys(rules).join(', ')} }`): Rule {
  return { takes, judge: isOptions, within: rules };
}

/** A list with at least `least` members, each of which `each` takes. */
export function listOf(each: Rule, least = 0): Rule {
  const takes = `${least > 0 ? 'a non-empty list' : 'a list'}, each member ${each.takes}`;
  return { takes, judge: (value) => Array.isArray(value) && (value.length >= least || 'range'), each };
}

/** A value that at least one of `rules` takes. */
export function either(...rules: readonly Rule[]): Rule {
  return {
    takes: rules.map(({ takes }) => takes).join(', or '),
    judge(value) {
      let verdict: boolean | 'range' = false;
      for (const { judge } of rules) {
        const one = judge(value);
        if (one === true) return true;
        if (one === 'range') verdict = one;
      }
      return verdict;
    },
    within: rules.find(({ within }) => within !== undefined)?.within,
    each: rules.find(({ each }) => each !== undefined)?.each,
  };
}

/** An object with these methods: one of wantio's own, or a user's replacement for it. */
export function partWith(takes: string, ...methods: readonly string[]): Rule {
  return thing(takes, (value) => isObject(value) && methods.every((method) => typeof value[method] === 'function'));
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

/** Whether `value` can be an object of options. Lists, promises, maps, dates and the like cannot. */
function isOptions(value: unknown): value is object {
  return isObject(value) && Object.prototype.toString.call(value) === '[object Object]';
}

// Values in messages.

function shown(value: unknown): string {
  switch (typeof value) {
    case 'string':
      if (value.includes('-----BEGIN')) return hidden(value);
      return JSON.stringify(value.length > SHOWN_AT_MOST ? `${value.slice(0, SHOWN_AT_MOST)}…` : value);
    case 'bigint':
      return `${String(value)}n`;
    case 'object':
    case 'function':
    case 'symbol':
      return kindOf(value);
    default:
      return String(value);
  }
}

function hidden(value: unknown): string {
  return value === null || value === undefined ? String(value) : `${kindOf(value)} (not shown)`;
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value === 'string') return 'a string';
  if (Array.isArray(value)) return 'a list';
  if (typeof value !== 'object') return `a ${typeof value}`;
  if ('then' in value) return 'a Promise: await it first';
  const { constructor } = value as { constructor?: { readonly name?: unknown } };
  const name = typeof constructor === 'function' ? constructor.name : 'Object';
  return name === 'Object' ? 'an object' : `an object of ${name}`;
}

/** A hint: the known name that is most similar to `name`, or the one for which another library has `name`. */
function meant(name: string, known: readonly string[]): string {
  const translated = ELSEWHERE[name.toLowerCase()];
  const here = translated?.find((each) => known.includes(each));
  if (here !== undefined) return `; it is called ${here} here`;
  let near: string | undefined;
  let least = Math.max(2, name.length / 3);
  if (name.length <= SHOWN_AT_MOST)
    for (const each of known) {
      const apart = distance(name.toLowerCase(), each.toLowerCase());
      if (apart > least || (apart === least && near !== undefined)) continue;
      near = each;
      least = apart;
    }
  return near === undefined ? `; the known options are ${known.join(', ')}` : `; did you mean ${near}?`;
}

/** How many letters must be changed, added or removed to turn one word into the other (Levenshtein). */
function distance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let at = 1; at <= one.length; at++) {
    const next = [at];
    for (let to = 1; to <= other.length; to++)
      next.push(Math.min(row[to] + 1, next[to - 1] + 1, row[to - 1] + Number(one[at - 1] !== other[to - 1])));
    row = next;
  }
  return row[other.length];
}

const SHOWN_AT_MOST = 60;
// Names of options in node:tls, LuaSec and others, in lower case, with wantio's names for them. The hint gives the
// first one that the call knows.
const ELSEWHERE: Readonly<Record<string, readonly string[] | undefined>> = {
  minversion: ['protocols'],
  maxversion: ['protocols'],
  secureprotocol: ['protocols'],
  protocol: ['protocols'],
  cert: ['certificate'],
  passphrase: ['password'],
  rejectunauthorized: ['verify'],
  requestcert: ['verify'],
  checkserveridentity: ['expect'],
  verifyname: ['dangerouslySkipNameCheck'],
  alpnprotocols: ['alpn'],
  cafile: ['ca'],
  capath: ['ca'],
  crl: ['crls'],
  ecdhcurve: ['groups'],
  curves: ['groups'],
  sigalgs: ['signatureAlgorithms'],
  context: ['secure'],
  tls: ['secure'],
  securecontext: ['secure'],
  servername: ['serverName'],
  sni: ['serverName'],
  hostname: ['host'],
  address: ['host', 'localAddress'],
  timeout: ['timeouts', 'timeoutMs'],
  blockms: ['timeouts'],
  totalms: ['timeouts'],
  timeoutms: ['timeouts'],
  aborted: ['signal'],
  abort: ['signal'],
};
