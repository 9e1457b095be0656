// Light or dark: as the system says, until somebody chooses. Runs before the page is drawn.
document.documentElement.dataset.theme = localStorage.getItem("histoscope-theme") || "";
