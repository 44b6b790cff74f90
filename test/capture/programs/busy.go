// Busy is a Go program that is never at rest: goroutines that only preemption stops, a signal to itself that must be
// answered before the next one is sent, children that are started and awaited. It answers each line on its standard
// input with how often its heart has beaten, the longest time between two beats, and how many signals came back. On
// SIGUSR2 it becomes the program that its arguments name, or sleep.
package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

var beats, longestGap, answered, children uint64

func main() {
	for i := 0; i < 4; i++ {
		go func() {
			for x := uint64(0); ; x++ {
				if x%(1<<30) == 1<<29 {
					atomic.AddUint64(&beats, 0)
				}
			}
		}()
	}
	go func() {
		arrived := make(chan os.Signal, 1)
		signal.Notify(arrived, syscall.SIGUSR1)
		for {
			syscall.Kill(os.Getpid(), syscall.SIGUSR1)
			<-arrived
			atomic.AddUint64(&answered, 1)
		}
	}()
	go func() {
		for {
			if exec.Command("/bin/true").Run() == nil {
				atomic.AddUint64(&children, 1)
			}
		}
	}()
	go func() {
		for last := time.Now(); ; {
			time.Sleep(500 * time.Microsecond)
			now := time.Now()
			if gap := uint64(now.Sub(last)); gap > atomic.LoadUint64(&longestGap) {
				atomic.StoreUint64(&longestGap, gap)
			}
			last = now
			atomic.AddUint64(&beats, 1)
		}
	}()
	change := make(chan os.Signal, 1)
	signal.Notify(change, syscall.SIGUSR2)
	go func() {
		<-change
		next := append(os.Args[1:], "/bin/sleep", "1000")
		syscall.Exec(next[0], next, nil)
	}()
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		fmt.Println(atomic.LoadUint64(&beats), atomic.LoadUint64(&longestGap), atomic.LoadUint64(&answered),
			atomic.LoadUint64(&children), 0)
	}
}
