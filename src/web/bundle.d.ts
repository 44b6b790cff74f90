/** The page's script and style, as the build makes them of this folder. */
export const PAGE_SCRIPT: string;
export const PAGE_STYLE: string;
