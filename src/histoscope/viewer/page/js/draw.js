// Drawing on a slide with mouse, pen or finger: free-hand outlines and rectangles, in pixels of level 0.

const LEAST_SCREEN_PX = 4, STEP_SCREEN_PX = 1.5, MOST_POINTS = 1500;

export class Ink {
  // wanted(event): "free" or "box" where a press draws, nothing where it moves the slide; done(shape, points, pane).
  constructor(pane, wanted, done) {
    Object.assign(this, { pane, wanted, done, shape: "", points: [], pointer: null });
    const on = (name, run) => pane.element.addEventListener(name, run, { capture: true });
    on("pointerdown", (event) => this.begin(event));
    on("pointermove", (event) => this.go(event));
    on("pointerup", (event) => this.end(event));
    on("pointercancel", (event) => this.stop(event));
    on("touchmove", (event) => { if (this.shape) event.preventDefault(); });
  }

  at(event) {
    const box = this.pane.element.getBoundingClientRect();
    return this.pane.at(new window.OpenSeadragon.Point(event.clientX - box.left, event.clientY - box.top));
  }

  begin(event) {
    if (this.shape) { this.stop(event); return; } // a second finger: not meant
    if (event.button !== 0 || event.target.closest(".navigator") || !this.pane.slide) return;
    this.shape = this.wanted(event) || "";
    if (!this.shape) return;
    event.stopPropagation();
    event.preventDefault();
    this.pointer = event.pointerId;
    this.pane.element.setPointerCapture(event.pointerId);
    this.start = [event.clientX, event.clientY];
    this.points = [this.point(event)];
  }

  point(event) {
    const { x, y } = this.at(event);
    return [x, y];
  }

  go(event) {
    if (!this.shape || event.pointerId !== this.pointer) return;
    event.stopPropagation();
    if (this.shape === "box") this.points[1] = this.point(event);
    else for (const one of event.getCoalescedEvents?.().length ? event.getCoalescedEvents() : [event]) this.points.push(this.point(one));
    this.moved = Math.max(this.moved || 0, Math.hypot(event.clientX - this.start[0], event.clientY - this.start[1]));
    this.pane.overlay.later();
  }

  end(event) {
    if (!this.shape || event.pointerId !== this.pointer) return;
    event.stopPropagation();
    const { shape, points } = this, scale = this.pane.view().scale, moved = this.moved || 0;
    this.clear();
    if (moved < LEAST_SCREEN_PX) { this.done("tap", points, this.pane); return; }
    this.done(shape, shape === "box" ? corners(points) : simplified(points, STEP_SCREEN_PX / scale), this.pane);
  }

  stop(event) {
    if (!this.shape) return;
    event.stopPropagation();
    this.clear();
  }

  clear() {
    Object.assign(this, { shape: "", points: [], pointer: null, moved: 0 });
    this.pane.overlay.later();
  }

  // What is being drawn; the dashed line is how it would be closed.
  draw(context, view) {
    if (!this.shape || this.points.length < 2) return;
    const ring = this.shape === "box" ? corners(this.points) : this.points;
    trace(context, view, ring, this.shape === "box");
    stroke(context, this.shape === "box" ? [6, 4] : []);
    if (this.shape === "free") {
      trace(context, view, [ring.at(-1), ring[0]], false);
      stroke(context, [3, 4]);
    }
  }
}

export function trace(context, view, ring, closes = true) {
  context.beginPath();
  ring.forEach(([x, y], k) => context[k ? "lineTo" : "moveTo"]((x - view.left) * view.scale, (y - view.top) * view.scale));
  if (closes) context.closePath();
}

export function stroke(context, dash = [], colour = "#ffffff", width = 2) {
  for (const [style, wide] of [["#000000c0", width + 2.4], [colour, width]]) {
    context.setLineDash(dash);
    Object.assign(context, { strokeStyle: style, lineWidth: wide, lineJoin: "round" });
    context.stroke();
  }
  context.setLineDash([]);
}

export function corners(points) {
  const [[ax, ay], [bx, by]] = [points[0], points.at(-1)];
  const [left, right] = [Math.min(ax, bx), Math.max(ax, bx)], [top, bottom] = [Math.min(ay, by), Math.max(ay, by)];
  return rounded([[left, top], [right, top], [right, bottom], [left, bottom]]);
}

const rounded = (points) => points.map(([x, y]) => [Number(x.toFixed(2)), Number(y.toFixed(2))]);

// An outline with as few points as look the same (Douglas and Peucker, doi:10.3138/FM57-6770-U75U-7727).
export function simplified(points, tolerance) {
  let found = points;
  for (let by = tolerance; ; by *= 2) {
    found = thinned(points, by);
    if (found.length <= MOST_POINTS) return rounded(found);
  }
}

function thinned(points, tolerance) {
  const keep = new Uint8Array(points.length), stack = [[0, points.length - 1]];
  keep[0] = keep[points.length - 1] = 1;
  while (stack.length) {
    const [first, last] = stack.pop(), [ax, ay] = points[first], [bx, by] = points[last];
    const length = Math.hypot(bx - ax, by - ay);
    let worst = tolerance, at = -1;
    for (let k = first + 1; k < last; k++) {
      const [x, y] = points[k];
      const away = length ? Math.abs((bx - ax) * (ay - y) - (ax - x) * (by - ay)) / length : Math.hypot(x - ax, y - ay);
      if (away > worst) { worst = away; at = k; }
    }
    if (at > 0) {
      keep[at] = 1;
      stack.push([first, at], [at, last]);
    }
  }
  return points.filter((_, k) => keep[k]);
}
