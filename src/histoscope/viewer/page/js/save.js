// The view as a PNG: slide, marks, scale bar and colour key.

const LINE_PX = 19, PAD_PX = 12;

export async function savePng(pane, { name, key, about }) {
  const view = pane.view(), ratio = Math.min(window.devicePixelRatio || 1, 2);
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: view.width * ratio, height: view.height * ratio });
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  for (const source of pane.element.querySelectorAll(".openseadragon-canvas canvas"))
    if (!source.closest(".navigator") && getComputedStyle(source).display !== "none") context.drawImage(source, 0, 0, canvas.width, canvas.height);
  const bar = document.getElementById("scale-bar").offsetWidth, word = document.getElementById("scale-text").textContent;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.fillStyle = "#ffffffd9";
  context.fillRect(12, view.height - 46, bar + 24, 34);
  context.fillStyle = "#111";
  context.fillRect(24, view.height - 22, bar, 3);
  context.font = "13px sans-serif";
  context.fillText(word, 24, view.height - 28);
  paintKey(context, view, key);
  context.fillStyle = "#ffffffd9";
  context.fillRect(12, 12, context.measureText(about).width + 24, 28);
  context.fillStyle = "#111";
  context.fillText(about, 24, 31);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: `${name}.png` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  return link.download;
}

// Names of the classes with their colours, at the lower right.
function paintKey(context, view, key) {
  if (!key.length) return;
  const wide = Math.max(...key.map(({ name }) => context.measureText(name).width)) + 46, high = key.length * LINE_PX + 2 * PAD_PX - 6;
  const left = view.width - wide - PAD_PX, top = view.height - high - PAD_PX;
  context.fillStyle = "#ffffffd9";
  context.fillRect(left, top, wide, high);
  key.forEach(({ name, colour }, k) => {
    const y = top + PAD_PX + k * LINE_PX;
    context.fillStyle = colour;
    context.fillRect(left + 12, y, 12, 12);
    context.strokeStyle = "#0000004d";
    context.lineWidth = 1;
    context.strokeRect(left + 12.5, y + 0.5, 11, 11);
    context.fillStyle = "#111";
    context.fillText(name, left + 32, y + 11);
  });
}
