// The view as a PNG: slide, marks and scale bar.

export async function savePng(pane, mpp, name) {
  const view = pane.view(), ratio = Math.min(window.devicePixelRatio || 1, 2);
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: view.width * ratio, height: view.height * ratio });
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  for (const source of pane.element.querySelectorAll(".openseadragon-canvas canvas"))
    if (!source.closest(".navigator")) context.drawImage(source, 0, 0, canvas.width, canvas.height);
  const bar = document.getElementById("scale-bar").offsetWidth, word = document.getElementById("scale-text").textContent;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.fillStyle = "#ffffffd9";
  context.fillRect(12, view.height - 46, bar + 24, 34);
  context.fillStyle = "#111";
  context.fillRect(24, view.height - 22, bar, 3);
  context.font = "13px sans-serif";
  context.fillText(word, 24, view.height - 28);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: `${name}.png` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
