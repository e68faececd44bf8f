/* Copy buttons of the integration records; without a clipboard they stay hidden and the text can be selected. */
"use strict";

const said = document.getElementById("copied");
if (navigator.clipboard) {
  for (const button of document.querySelectorAll("button.copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(button.dataset.copy);
        said.textContent = "Copied.";
        button.classList.add("copied");
        setTimeout(() => { button.classList.remove("copied"); said.textContent = ""; }, 1500);
      } catch { said.textContent = "Copying is not allowed here. Select the text instead."; }
    });
  }
}
