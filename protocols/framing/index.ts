/** The common framings. */

export { delimited } from './delimited.ts';
export { fixedRecords } from './fixed-records.ts';
export { lengthPrefixed } from './length-prefixed.ts';
export type { LengthPrefixOptions, MessagePart, PartedMessage, PartedOptions } from './length-prefixed.ts';
export { lines } from './lines.ts';
export type { LinesOptions } from './lines.ts';
export { netstrings } from './netstrings.ts';
export { varintPrefixed } from './varint-prefixed.ts';
