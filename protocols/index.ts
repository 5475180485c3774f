/** wantio/protocols: what runs over connections. */

export * from './framing/index.ts';
export * as https from './https/index.ts';
export { Relay } from './relay.ts';
export type { RelayOptions, RelayStatistics } from './relay.ts';
