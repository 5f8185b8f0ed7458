# Turns a schema file into the list of fields in tstream(5); a test holds the page against it.
BEGIN {
	FS = "[ \t]*[|][ \t]*"
	print ".Bl -tag -width Ds -compact"
}
/^#/ || /^[ \t]*$/ { next }
{
	shape = $3
	gsub(/;/, "] or [", shape)
	sub(/[ \t]+$/, "", $6)
	printf ".It Va %s No %s%s%s ; %s\n%s\n", $1, $2, shape == "" ? "" : " [" shape "]", $4 == "" ? "" : " " $4, $5, $6
}
END { print ".El" }
