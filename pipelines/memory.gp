# memory.gp: what the memory bank does over the steps; file: the table of curves.awk.
set terminal svg size 760,420 font "sans-serif,12" background rgb "white"
set datafile separator tab
set key outside right
set xlabel "step"
set ylabel "nats"
set y2label "cosine"
set y2range [0:1]
set y2tics
set ytics nomirror
set grid
plot for [c in "usage certainty information"] file using "step":c with lines linewidth 1.5 title c, \
	file using "step":"max_cosine" axes x1y2 with lines linewidth 1.5 dashtype 2 title "largest cosine"
