// Command probe is built by the Go releases that `npm run layouts` examines. It uses what gospy looks for in a program,
// so that the linker keeps it, and need not be run.
package main

import (
	"context"
	"os"
	"runtime"
	"runtime/pprof"
	"sync"
)

type gauge int

func (g gauge) read() int { return int(g) }

type reader interface{ read() int }

//go:noinline
func outer(n int) int {
	return inner(n) + 1 // the call
}

func inner(n int) int {
	return n * len(os.Args) // inlined into outer
}

func main() {
	var lock sync.Mutex
	cond := sync.NewCond(&lock)
	values := make(chan int)
	done := make(chan struct{})
	pprof.Do(context.Background(), pprof.Labels("key", "value"), func(context.Context) {
		go func() {
			lock.Lock()
			defer lock.Unlock()
			cond.Broadcast()
			select {
			case values <- runtime.GOMAXPROCS(0):
			case <-done:
			}
		}()
	})
	g := gauge(<-values)
	var r reader = &g
	println(outer(r.read()))
}
