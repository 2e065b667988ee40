package main

import (
	"image/color"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"go.etcd.io/etcd/client/v3/faults/internal/judge"
)

// longest returns the longest time for which reads, writes or a watch stood still.
func longest(f judge.Figures) time.Duration {
	return max(f.ReadStall, f.WriteStall, f.Watched.Stall)
}

// chart draws the longest stall of each scenario with both clients.
func chart(path string, scs []scenario, all []judge.Figures) error {
	p := plot.New()
	p.Title.Text = "Longest time without a read, a write or a watch event, in seconds; less is better"
	p.Y.Min = 0
	p.Legend.Top = true
	p.Add(plotter.NewGrid())
	var names []string
	bars := [2]plotter.Values{}
	for _, sc := range scs {
		pair := of(sc, all)
		if !hasCalls(sc) || len(pair) != len(bars) {
			continue
		}
		names = append(names, sc.name)
		for i := range bars {
			bars[i] = append(bars[i], longest(pair[i]).Seconds())
		}
	}
	if len(names) == 0 {
		return nil
	}
	for i, name := range []string{"this client", "published client"} {
		chart, err := plotter.NewBarChart(bars[i], vg.Points(16))
		if err != nil {
			return err
		}
		chart.LineStyle.Width = 0
		chart.Color = []color.RGBA{{R: 0x1f, G: 0x77, B: 0xb4, A: 0xff},
			{R: 0xc0, G: 0xc0, B: 0xc0, A: 0xff}}[i]
		chart.Offset = vg.Points(float64(i*16 - 8))
		p.Add(chart)
		p.Legend.Add(name, chart)
	}
	p.NominalX(names...)
	p.X.Min, p.X.Max = -0.6, float64(len(names))-0.4
	p.X.Tick.Label.Rotation = 0.5
	p.X.Tick.Label.XAlign = -1
	return p.Save(vg.Points(float64(120+52*len(names))), vg.Points(300), path)
}
