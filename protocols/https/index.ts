/** The namespace `https` of wantio/protocols. */

export type { Body } from './body.ts';
export { BodyLengthError, HttpError } from './errors.ts';
export type { RequestOptions, Response, ResponseHead } from './options.ts';
export { request } from './request.ts';
