# bash completion for prefork-echo, echo-client and echo-check.
#
# The words to complete come from the program itself, by --help, which it prints
# from its option table: so this is never out of date.
#
# shellcheck shell=bash

# __prefork_value WORD HELP CUR: complete a value by its name in --help.
__prefork_value() {
	local words

	case $1 in
	FILE | TARGET | SOCKET | PATH*)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$3")
		[[ $1 != TARGET ]] || words='- syslog'
		[[ $1 != PATH* ]] || words=${1#PATH}
		;;
	ADDR | HOST)
		mapfile -t COMPREPLY < <(compgen -A hostname -- "$3")
		;;
	GROUP)
		mapfile -t COMPREPLY < <(compgen -A group -- "$3")
		;;
	COMMANDS) # the help has a line for each
		words=$2
		;;
	LEVEL)
		words='error warning info debug'
		;;
	USER*)
		mapfile -t COMPREPLY < <(compgen -A user -- "$3")
		;;
	CMD) # all are listed at the end of the help
		words=${2##*:}
		;;
	*'|'*)
		words=$1
		;;
	esac
	# Those that stand for themselves, not N or IDLE.
	for words in ${words//[|,]/ }; do
		[[ $words != *[[:upper:]]* && $words == "$3"* ]] &&
		    COMPREPLY+=("$words")
	done
}

__prefork() {
	local cur=$2 option=$3 line names=() value help found operands commands=
	local pattern='^ +((-.), )?(--[a-z0-9-]+)( ([^ ]*[A-Z|][^ ]*))?( +(.*))?$'

	COMPREPLY=()
	# --option=value comes in three words.
	if [[ $option == = && $COMP_CWORD -ge 2 ]]; then
		option=${COMP_WORDS[COMP_CWORD - 2]}
	elif [[ $cur == = ]]; then
		cur=
	fi
	while IFS= read -r line; do
		if [[ $line =~ $pattern ]]; then
			names+=("${BASH_REMATCH[@]:2:2}")
			found=
			if [[ -n ${BASH_REMATCH[5]} && ($option == "${BASH_REMATCH[2]}" ||
			    $option == "${BASH_REMATCH[3]}") ]]; then
				found=1
				value=${BASH_REMATCH[5]}
				help=${BASH_REMATCH[7]}
			fi
		elif [[ $line =~ ^\ {20,}(.*) ]]; then
			[[ -z $found ]] || help+=" ${BASH_REMATCH[1]}"
		elif [[ $line =~ ^\ \ ([a-z]+)(\ ([A-Z]+))?\  ]]; then
			commands+=" ${BASH_REMATCH[1]}"
			# Its argument comes after it.
			if [[ $option == "${BASH_REMATCH[1]}" ]]; then
				value=${BASH_REMATCH[3]:-none}
			fi
		elif [[ $line == *'[HOST'* ]]; then
			operands=HOST
		elif [[ $line == *'[SOCKET'* ]]; then
			operands=SOCKET
		fi
	done < <("$1" --help 2>/dev/null)

	if [[ $cur == -* && ($value == none || -z $value) ]]; then
		mapfile -t COMPREPLY < <(compgen -W "${names[*]}" -- "$cur")
	elif [[ -n $value ]]; then
		__prefork_value "$value" "$help" "$cur"
	elif [[ -n $commands ]]; then
		__prefork_value COMMANDS "$commands" "$cur"
	elif [[ -n $operands ]]; then
		__prefork_value "$operands" '' "$cur"
	fi
}

complete -F __prefork prefork-echo prefork-ctl prefork-exporter echo-client echo-check
