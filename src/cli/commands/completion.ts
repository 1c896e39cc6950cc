import { command } from '../command.js';

/** The words before the cursor go to `aurochs --complete`; what it prints is offered, else file names. */
const SCRIPTS = {
  bash: `# Completion of aurochs for bash. Install it with:
#   aurochs completion bash > /etc/bash_completion.d/aurochs
_aurochs() {
  mapfile -t COMPREPLY < <(aurochs --complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _aurochs aurochs`,
  zsh: `#compdef aurochs
# Completion of aurochs for zsh. Install it with:
#   aurochs completion zsh > "\${fpath[1]}/_aurochs"
_aurochs() {
  local -a offered
  offered=(\${(f)"$(aurochs --complete "\${(@)words[2,CURRENT]}" 2>/dev/null)"})
  if (( \${#offered} )); then compadd -a offered; else _files; fi
}
if [[ "\${zsh_eval_context[-1]}" == loadautofunc ]]; then _aurochs "$@"; else compdef _aurochs aurochs; fi`,
};

const SHELLS = ['bash', 'zsh'] as const;

export const completion = command({
  usage: 'completion <shell>',
  describe: 'Print the script that completes commands, options and names in a shell',
  examples: [
    ['source <($0 completion bash)', 'for this shell'],
    ['$0 completion bash > /etc/bash_completion.d/aurochs', 'for every shell from now on'],
  ],
  positionals: { shell: { choices: SHELLS, demandOption: true, describe: 'Shell to complete in' } },
  options: {},
  run: ({ args, output }) => {
    output.line(SCRIPTS[args.shell]);
    return Promise.resolve();
  },
});
