"""The CSS of the pages, for phones as for wide screens."""

CSS = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
body{margin:0 auto;padding:0 20px 48px;max-width:1080px;background:var(--surface);
 color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
header{padding:36px 0 4px}
.kind{margin:0;color:var(--muted);font-size:13px;letter-spacing:.08em;text-transform:uppercase}
h1{margin:2px 0 12px;font-size:clamp(26px,5vw,38px);line-height:1.15;letter-spacing:-.02em;
 overflow-wrap:anywhere}
h2{margin:0 0 14px;font-size:21px;letter-spacing:-.01em}
section{margin:0;padding:34px 0 6px;border-top:1px solid var(--grid);scroll-margin-top:44px}
p{max-width:68ch;margin:0 0 14px}
.chips{display:flex;flex-wrap:wrap;gap:8px;list-style:none;margin:0;padding:0}
.chips li{background:var(--node);border:1px solid var(--grid);border-radius:999px;
 padding:2px 12px;font-size:14px;overflow-wrap:anywhere}
.chips b{color:var(--muted);font-weight:500}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,186px),1fr));
 gap:12px;margin:22px 0}
.tile{border:1px solid var(--grid);border-radius:12px;padding:12px 16px;background:var(--node)}
.tile.first{background:var(--blue-soft);border-color:var(--blue)}
.tile dt{color:var(--muted);font-size:13px}
.tile dd{margin:0}
.tile strong{display:block;font-size:22px;white-space:nowrap;line-height:1.3;letter-spacing:-.02em;
 font-variant-numeric:tabular-nums}
.tile span{color:var(--muted);font-size:13px}
.missing{border:1px solid var(--orange);background:var(--orange-soft);border-radius:12px;
 padding:12px 18px;margin:18px 0;overflow-wrap:anywhere}
.missing h2{font-size:16px;margin:0 0 4px}
.missing ul{margin:0;padding-left:20px;font-size:15px}
nav{position:sticky;top:0;z-index:1;display:flex;gap:18px;overflow-x:auto;white-space:nowrap;
 padding:10px 0;background:var(--surface);font-size:14px}
a{color:var(--blue);text-decoration:none}
a:hover{text-decoration:underline}
a:focus-visible,[tabindex]:focus-visible{outline:2px solid var(--blue);outline-offset:2px}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr));
 gap:22px 28px;align-items:start}
figure{margin:0 0 18px}
svg{display:block;max-width:100%;height:auto}
.fit svg{width:100%;max-width:520px}
.scroll{overflow-x:auto}
figcaption{color:var(--muted);font-size:13.5px;margin-top:8px;max-width:80ch;
 overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;font-size:15px;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--muted);font-size:13.5px;padding-bottom:6px}
th,td{text-align:left;padding:6px 16px 6px 0;border-bottom:1px solid var(--grid);
 vertical-align:top}
th{font-weight:500}
thead th{color:var(--muted);font-size:13px}
td{overflow-wrap:break-word}
.settings{font-size:14px}
.settings th{white-space:nowrap}
.settings td{overflow-wrap:anywhere;
 font-family:ui-monospace,"SF Mono",Menlo,Consolas,monospace;font-size:13px}
pre{background:var(--node);border:1px solid var(--grid);border-radius:10px;padding:12px 16px;
 overflow-x:auto;font:13.5px/1.5 ui-monospace,"SF Mono",Menlo,Consolas,monospace}
footer{color:var(--muted);font-size:13px;border-top:1px solid var(--grid);padding-top:16px;
 margin-top:28px}
@media (max-width:760px){.scroll svg{max-width:none}}
@media (max-width:560px){body{padding:0 14px 36px}header{padding-top:22px}
 .tiles{grid-template-columns:repeat(2,minmax(0,1fr));gap:9px}
 .tile{padding:10px 12px}.tile strong{font-size:18px}
 .settings th{white-space:normal;overflow-wrap:anywhere;width:42%}}
@media print{nav{display:none}section{break-inside:avoid-page}}
"""
