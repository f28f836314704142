/** The part of buffer-layout that is used here; the package has no types of its own. */
declare module 'buffer-layout' {
  export interface Layout<T> {
    readonly span: number;
    encode(value: T, buffer: Buffer, offset?: number): number;
    decode(buffer: Buffer, offset?: number): T;
  }
  export interface Field extends Layout<number> {
    readonly property: string;
  }
  const layouts: {
    u16(property: string): Field;
    u32(property: string): Field;
    s32(property: string): Field;
    f64(property: string): Field;
    struct<T extends object>(fields: Field[]): Layout<T>;
  };
  export default layouts;
}
