# losses.gp: losses of pre-training over the steps; file: the table of curves.awk.
set terminal svg size 760,420 font "sans-serif,12" background rgb "white"
set datafile separator tab
set key outside right
set xlabel "step"
set ylabel "loss"
set grid
plot for [c in "loss con self cross mask align"] file using "step":c with lines linewidth 1.5 title c
