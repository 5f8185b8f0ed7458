#!/bin/bash
# install.sh BINDIR PROGRAM ...: programs, man pages, shell completion and (where it was built) the plug-in of NVIDIA
# devices under $DESTDIR$PREFIX; programs, their pages and completions are named with $PROGRAM_PREFIX in front.
set -euo pipefail
bin=$1
shift
here=$(cd "$(dirname "$0")/.." && pwd)
to=${DESTDIR:-}${PREFIX:-/usr/local}
prefix=${PROGRAM_PREFIX:-}
section() { echo "${1##*.}"; }

# Bash completion out of --list-options: name, letter, argument, help.
completion() {
	local words
	words=$("$bin/$1" --list-options | cut -f1,2 | tr '\t' '\n' | sed '/^$/d' | tr '\n' ' ')
	cat <<- EOF
		_molrill_${1}() {
			local word=\${COMP_WORDS[COMP_CWORD]}
			case \$word in
			-*) mapfile -t COMPREPLY < <(compgen -W "${words% }" -- "\$word") ;;
			*) mapfile -t COMPREPLY < <(compgen -f -- "\$word") ;;
			esac
		}
		complete -o filenames -F _molrill_${1} ${prefix}${1}
	EOF
}

# In a page, the programs go by the names that they are installed under; file names and fields stay.
page() {
	local program script=
	if [ -n "$prefix" ]; then
		for program in "${programs[@]}"; do
			script+="s/^(\\.(Nm|Dt|Xr)) ($program|${program^^})\\b/\\1 $prefix\\3/;"
			script+="s/(^|[|\$(] *)$program /\\1$prefix$program /g;"
		done
	fi
	sed -E "$script" "$1"
}

programs=("$@")
install -d "$to/bin" "$to/share/bash-completion/completions" "$to/share/doc/molrill"
for p in "${programs[@]}"; do
	install -m 755 "$bin/$p" "$to/bin/$prefix$p"
	completion "$p" > "$to/share/bash-completion/completions/$prefix$p"
done
plugin=$bin/../lib/molrill/cuda.so
[ ! -e "$plugin" ] || install -D -m 755 "$plugin" "$to/lib/molrill/cuda.so"
for man in "$here"/man/*.[1-8]; do
	name=$(basename "$man")
	dir=$to/share/man/man$(section "$name")
	install -d "$dir"
	case " ${programs[*]} " in
	*" ${name%.*} "*) name=$prefix$name ;;
	esac
	page "$man" > "$dir/$name"
	chmod 644 "$dir/$name"
done
install -m 644 "$here/README.md" "$here/LICENSE" "$to/share/doc/molrill/"
