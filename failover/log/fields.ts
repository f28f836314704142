/**
 * Fields of a log record: each is declared once, with its offset, and reads and writes itself in
 * place. Fields are little-endian. A field is a constant object, so the accesses compile to those
 * of the DataView and allocate nothing; buffer-layout would build an object per record, which the
 * hot path cannot afford.
 */

/** A number at a fixed offset of a body. */
export interface NumberField {
  readonly type: 'u8' | 'u16' | 'u32' | 'f64';
  /** Bytes from the beginning of the body. */
  readonly offset: number;
  /** Bytes of the field. */
  readonly size: number;
  readonly meaning: string;
  /** The field's value in the body at `at`. */
  get(view: DataView, at: number): number;
  set(view: DataView, at: number, value: number): void;
}

class U8 implements NumberField {
  readonly type = 'u8';
  readonly size = 1;
  constructor(
    readonly offset: number,
    readonly meaning: string,
  ) {}
  get(view: DataView, at: number): number {
    return view.getUint8(at + this.offset);
  }
  set(view: DataView, at: number, value: number): void {
    view.setUint8(at + this.offset, value);
  }
}

class U16 implements NumberField {
  readonly type = 'u16';
  readonly size = 2;
  constructor(
    readonly offset: number,
    readonly meaning: string,
  ) {}
  get(view: DataView, at: number): number {
    return view.getUint16(at + this.offset, true);
  }
  set(view: DataView, at: number, value: number): void {
    view.setUint16(at + this.offset, value, true);
  }
}

class U32 implements NumberField {
  readonly type = 'u32';
  readonly size = 4;
  constructor(
    readonly offset: number,
    readonly meaning: string,
  ) {}
  get(view: DataView, at: number): number {
    return view.getUint32(at + this.offset, true);
  }
  set(view: DataView, at: number, value: number): void {
    view.setUint32(at + this.offset, value, true);
  }
}

class F64 implements NumberField {
  readonly type = 'f64';
  readonly size = 8;
  constructor(
    readonly offset: number,
    readonly meaning: string,
  ) {}
  get(view: DataView, at: number): number {
    return view.getFloat64(at + this.offset, true);
  }
  set(view: DataView, at: number, value: number): void {
    view.setFloat64(at + this.offset, value, true);
  }
}

/** Bytes at a fixed offset, e.g. an address; read and written by their owner. */
export class BytesField {
  readonly type = 'bytes';
  constructor(
    readonly offset: number,
    readonly size: number,
    readonly meaning: string,
  ) {}
}

/** A field of any type. */
export type Field = NumberField | BytesField;

/** A body's size in bytes, beside its fields by name. */
export type Body = { readonly size: number } & { readonly [field: string]: Field | number };

/** An unsigned 8-bit field. */
export const u8 = (offset: number, meaning: string): NumberField => new U8(offset, meaning);
/** An unsigned 16-bit field. */
export const u16 = (offset: number, meaning: string): NumberField => new U16(offset, meaning);
/** An unsigned 32-bit field. */
export const u32 = (offset: number, meaning: string): NumberField => new U32(offset, meaning);
/** A float64 field; it holds integers up to 2^53 exactly. */
export const f64 = (offset: number, meaning: string): NumberField => new F64(offset, meaning);
/** A field of bytes that their owner reads and writes. */
export const raw = (offset: number, size: number, meaning: string): BytesField => new BytesField(offset, size, meaning);
