/**
 * Errors that a user of ft-tcp can meet. Each has a stable `code` (Node's own where one exists,
 * `ERR_FT_*` otherwise) and a message that says what to do.
 */
export class FtError extends Error {
  readonly code: string;
  /** What the user can do about it; also the last sentence of the message. */
  readonly hint: string;

  constructor(code: string, message: string, hint = '') {
    super(hint ? `${message}. ${hint}` : message);
    this.name = 'FtError';
    this.code = code;
    this.hint = hint;
  }
}

/** True for any error object that carries a string `code`. */
export function errorCode(error: unknown): string | undefined {
  if (typeof error === 'object' && error !== null && 'code' in error) {
    const code = (error as { code: unknown }).code;
    return typeof code === 'string' ? code : undefined;
  }
  return undefined;
}
