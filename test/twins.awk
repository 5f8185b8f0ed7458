# twins.awk: from kernels/kernels.h, twins of every operation of the table, for its tests (twins.h says what they do).
# Outputs are what an operation gets by a pointer to something that is not const, or through one of its structs.
function trim(s)
{
	gsub(/^[ \t]+|[ \t]+$/, "", s)
	return s
}

# The name at the end of a declaration.
function name_of(decl)
{
	sub(/\[.*/, "", decl)
	sub(/^.*[ *]/, "", decl)
	return decl
}

# The struct that a parameter points to, without its prefix; empty: none.
function struct_of(decl)
{
	if (decl !~ /^const struct k_/)
		return ""
	sub(/^const struct /, "", decl)
	sub(/ .*/, "", decl)
	return decl
}

# A function that calls the right operation between two statements, and its line of a list.
function twin(op, output, before, after)
{
	functions = functions "static " type " twin_" ++n_twin "(" parameters ")\n{\n" before "\t" \
		(type == "void" ? "" : type " result = ") "twin_right->" op "(" arguments ");\n" after \
		(type == "void" ? "" : "\treturn result;\n") "}\n"
	return "\t{\"" op "\", \"" output "\", offsetof(struct kernels, " op "), (void (*)(void))twin_" n_twin "},\n"
}

function mutant(op, output, pointer, kind)
{
	mutants = mutants twin(op, output, "\ttwin_called = true;\n", "\ttwin_change_" kind "(" pointer ");\n")
}

# What has to lie in the table's memory: one line a pointer.
function fenced(op, pointer)
{
	return "\tfence_demand(\"" op "\", " pointer ");\n"
}

function fenced_struct(op, s, path,   n, names, i, text)
{
	n = split(device[s], names, " ")
	for (i = 1; i <= n; i++)
		text = text fenced(op, path names[i])
	return text
}

function operation(decl,   op, n, part, i, p, s, j, names, field, fences_of)
{
	type = decl ~ /^double/ ? "double" : "void"
	op = decl
	sub(/^[a-z]+ \(\*/, "", op)
	sub(/\).*/, "", op)
	sub(/^[^(]*\([^(]*\(/, "", decl)
	sub(/\)$/, "", decl)
	parameters = decl
	n = split(decl, part, ",")
	arguments = "twin_right"
	for (i = 2; i <= n; i++)
		arguments = arguments ", " name_of(trim(part[i]))
	for (i = 2; i <= n; i++) {
		p = trim(part[i])
		s = struct_of(p)
		if (s != "") {
			j = op ~ /_back$/ ? 0 : split(written[s], names, " ")
			for (field = 1; field <= j; field++)
				mutant(op, names[field], name_of(p) "->" names[field], "real")
			fences_of = fences_of fenced_struct(op, s, name_of(p) "->")
		} else if (p ~ /\*const \*/)
			fences_of = fences_of "\tfor (int i = 0; i < n_table; i++)\n\t" fenced(op, name_of(p) "[i]")
		else if (p ~ /\*/ && op != "nearest")
			fences_of = fences_of fenced(op, name_of(p))
		if (s == "" && p ~ /\*/ && p !~ /const/)
			mutant(op, name_of(p), name_of(p), p ~ /^(int64_t|uint8_t)/ ? (p ~ /^i/ ? "index" : "byte") : p ~ /^double/ ? "double" : "real")
	}
	if (type == "double")
		mutant(op, "result", "&result", "double")
	fences = fences twin(op, "", fences_of "\tfence_open();\n", "\tfence_close();\n")
}

# Fields of a struct: those in the table's memory, and those that are no inputs.
function field_line(decl,   n, part, i, is_written)
{
	if (decl !~ /^(const )?(real|int64_t|struct k_pair) \*/ || inside == "k_hyper")
		return
	is_written = decl ~ /^real/
	n = split(decl, part, ",")
	for (i = 1; i <= n; i++) {
		if (inside == "k_table" && name_of(trim(part[i])) ~ /^(atom|run|group)$/)
			continue
		device[inside] = device[inside] " " name_of(trim(part[i]))
		if (is_written)
			written[inside] = written[inside] " " name_of(trim(part[i]))
	}
}

{
	gsub(/[ \t]+/, " ")
	text = text " " $0
}

END {
	while (match(text, /\/\*([^*]|\*[^\/])*\*\//))
		text = substr(text, 1, RSTART - 1) " " substr(text, RSTART + RLENGTH)
	gsub(/[ \t]+/, " ", text)
	gsub(/\{/, "{;", text)
	n = split(text, line, ";")
	for (i = 1; i <= n; i++) {
		decl = trim(line[i])
		if (decl ~ /struct k[a-z_]* \{$/) {
			inside = decl
			sub(/ \{$/, "", inside)
			sub(/.*struct /, "", inside)
		} else if (decl ~ /^\}/)
			inside = ""
		else if (inside == "kernels" && decl ~ /^(void|double) \(\*[a-z_]+\)\(const struct kernels \*k,/)
			operation(decl)
		else if (inside != "" && inside != "kernels")
			field_line(decl)
	}
	print "/* Written by test/twins.awk from kernels/kernels.h. */"
	print "#include \"twins.h\"\n"
	print "const struct kernels *twin_right;\nbool twin_called;\n"
	print functions
	print "const struct twin twin_mutants[] = {\n" mutants "};"
	print "const int twin_n_mutant = sizeof twin_mutants / sizeof *twin_mutants;"
	print "const struct twin twin_fences[] = {\n" fences "};"
	print "const int twin_n_fence = sizeof twin_fences / sizeof *twin_fences;"
}
