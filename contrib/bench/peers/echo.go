// echo.go: a goroutine for each connection; TCP_NODELAY is Go's default.
package main

import (
	"fmt"
	"net"
	"os"
)

func echo(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 65536)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err = c.Write(buf[:n]); err != nil {
			return
		}
	}
}

func datagrams() error {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	fmt.Println("ready", c.LocalAddr().(*net.UDPAddr).Port)
	buf := make([]byte, 65536)
	for {
		if n, from, err := c.ReadFromUDPAddrPort(buf); err == nil {
			c.WriteToUDPAddrPort(buf[:n], from)
		}
	}
}

func streams() error {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("ready", l.Addr().(*net.TCPAddr).Port)
	for {
		if c, err := l.Accept(); err == nil {
			go echo(c)
		}
	}
}

func main() {
	serve := streams
	if len(os.Args) > 1 && os.Args[1] == "udp" {
		serve = datagrams
	}
	fmt.Fprintln(os.Stderr, serve())
	os.Exit(1)
}
