// Exchanges the token for a cookie; it travels in a header, never in an address.
const form = document.getElementById("form");
form.addEventListener("submit", async event => {
  event.preventDefault();
  const problem = document.getElementById("problem");
  problem.textContent = "";
  try {
    const token = document.getElementById("token").value.trim();
    const answer = await fetch("session", { method: "POST", headers: { Authorization: `Bearer ${token}` } });
    if (answer.ok) return location.reload();
    problem.textContent = "This is not the token.";
  } catch (error) {
    problem.textContent = "The dashboard does not answer.";
  }
});
